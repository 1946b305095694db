//go:build e2e

package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace-io/millrace/e2e/harness"
)

// nemesis brings faults upon a scene, chosen by a seed. The processes' own timing is theirs: a seed repeats the schedule,
// not the run.
type nemesis struct {
	*scene
	rng *rand.Rand
}

// newNemesis takes the seed from CHAOS_SEED, or a new one, and tells it.
func newNemesis(s *scene) *nemesis {
	seed := rand.Uint64()
	if text := os.Getenv("CHAOS_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			s.t.Fatalf("CHAOS_SEED=%q is not a seed", text)
		}
		seed = n
	}
	s.t.Logf("the schedule is CHAOS_SEED=%d", seed)
	return &nemesis{scene: s, rng: rand.New(rand.NewPCG(seed, 1))}
}

func (n *nemesis) between(low, high time.Duration) time.Duration {
	return low + time.Duration(n.rng.Int64N(int64(high-low)))
}

// fault is something that is done to the cluster and undone.
type fault struct {
	name string
	// does what there is to do and says on whom; undo mends it.
	begin func() (what string, undo func())
	// progress says that the clients must make progress while it lasts.
	progress bool
}

func (n *nemesis) node() *harness.Node { return n.Nodes()[n.rng.IntN(len(n.Nodes()))] }

// processFaults need no network and no disks of their own.
func (n *nemesis) processFaults() []fault {
	return []fault{
		{"kill -9 of a node", func() (string, func()) {
			victim := n.node()
			victim.Kill()
			return fmt.Sprint(victim.ID()), victim.Restart
		}, true},
		{"kill -9 of the leader of partition 0", func() (string, func()) {
			victim := n.leader(0)
			victim.Kill()
			return fmt.Sprint(victim.ID()), victim.Restart
		}, true},
		{"kill -9 of a majority", func() (string, func()) {
			first := n.rng.IntN(len(n.Nodes()))
			var victims []*harness.Node
			for i := range len(n.Nodes())/2 + 1 {
				victims = append(victims, n.Nodes()[(first+i)%len(n.Nodes())])
			}
			for _, v := range victims {
				v.Kill()
			}
			return names(victims), n.StartAll
		}, false},
		{"kill -9 of all", func() (string, func()) { n.KillAll(); return "all", n.StartAll }, false},
		{"pause of a node", func() (string, func()) {
			victim := n.node()
			victim.Pause()
			return fmt.Sprint(victim.ID()), victim.Resume
		}, true},
		{"pause of the leader of partition 0", func() (string, func()) {
			victim := n.leader(0)
			victim.Pause()
			return fmt.Sprint(victim.ID()), victim.Resume
		}, true},
		{"clean restart", func() (string, func()) {
			victim := n.node()
			victim.Stop()
			return fmt.Sprint(victim.ID()), victim.Restart
		}, true},
	}
}

// networkFaults need hosts of their own. The clients reach every node throughout.
func (n *nemesis) networkFaults() []fault {
	heal := n.network.Heal
	all := func() (ids []int) {
		for _, node := range n.Nodes() {
			ids = append(ids, node.ID())
		}
		return ids
	}
	others := func(id int) []int { return slices.DeleteFunc(all(), func(o int) bool { return o == id }) }
	return []fault{
		{"a node cut off from the others", func() (string, func()) {
			id := n.node().ID()
			n.network.Split([]int{id}, others(id))
			return fmt.Sprint(id), heal
		}, true},
		{"a node cut off from everybody", func() (string, func()) {
			id := n.node().ID()
			n.network.Split([]int{id}, append(others(id), 0))
			return fmt.Sprint(id), heal
		}, true},
		{"a leader that hears nobody", func() (string, func()) {
			id := n.leader(0).ID()
			for _, o := range others(id) {
				n.network.Cut(o, id)
			}
			return fmt.Sprint(id), heal
		}, true},
		{"a leader that nobody hears", func() (string, func()) {
			id := n.leader(0).ID()
			for _, o := range others(id) {
				n.network.Cut(id, o)
			}
			return fmt.Sprint(id), heal
		}, true},
		{"one way between two nodes", func() (string, func()) {
			from := n.node().ID()
			to := others(from)[n.rng.IntN(len(all())-1)]
			n.network.Cut(from, to)
			return fmt.Sprintf("from %d to %d", from, to), heal
		}, true},
		{"a bridge", func() (string, func()) {
			bridge := n.node().ID()
			rest := others(bridge)
			half := len(rest) / 2
			n.network.Split(rest[:half], rest[half:])
			return fmt.Sprint(bridge), heal
		}, true},
		{"everybody from everybody", func() (string, func()) {
			for _, id := range all() {
				n.network.Split([]int{id}, others(id))
			}
			return "all", heal
		}, false},
		{"a ring", func() (string, func()) {
			ids := all()
			for i, a := range ids {
				for j, b := range ids {
					if gap := (i - j + len(ids)) % len(ids); gap > 1 && gap < len(ids)-1 {
						n.network.Cut(a, b)
					}
				}
			}
			return "all", heal
		}, false},
	}
}

// diskFaults cut the power of one node's disk, or of all.
func (n *nemesis) diskFaults() []fault {
	return []fault{
		{"power loss of a node", func() (string, func()) {
			victim := n.node()
			n.powerLoss(victim)
			return fmt.Sprint(victim.ID()), victim.Restart
		}, true},
		{"power loss of all", func() (string, func()) { n.powerLossOfAll(); return "all", n.StartAll }, false},
	}
}

// powerLoss takes the power of one node away and repairs its disk; the node is down then.
func (s *scene) powerLoss(node *harness.Node) {
	s.t.Helper()
	d := s.disks[node.ID()-1]
	d.powerLoss(node.PID())
	node.Kill()
	d.repair()
}

// powerLossOfAll stops all at the same moment, as near as that can be done: nobody sees another fail.
func (s *scene) powerLossOfAll() {
	s.t.Helper()
	for _, node := range s.Nodes() {
		s.disks[node.ID()-1].stopProcess(node.PID())
	}
	for _, node := range s.Nodes() {
		s.disks[node.ID()-1].powerLoss(0)
		node.Kill()
		s.disks[node.ID()-1].repair()
	}
}

func names(nodes []*harness.Node) string {
	var ids []string
	for _, n := range nodes {
		ids = append(ids, fmt.Sprint(n.ID()))
	}
	return strings.Join(ids, ",")
}

// The bounds of what must go on: progress with a majority there, and progress of everybody once a fault is over. Clients
// need up to 3 s to give a silent broker up, and ask any broker who leads.
const (
	progressDuring = 25 * time.Second
	progressAfter  = 30 * time.Second
)

// rage brings so many faults, one after the other, and wants progress where it must be possible.
func (n *nemesis) rage(faults []fault, count int) {
	n.t.Helper()
	for round := range count {
		time.Sleep(n.between(200*time.Millisecond, 1500*time.Millisecond))
		f := faults[n.rng.IntN(len(faults))]
		began := n.flow.rec.Now()
		what, undo := f.begin()
		hold := n.between(500*time.Millisecond, 5*time.Second)
		n.t.Logf("round %d at %v: %s: %s, for %v", round, began.Round(time.Millisecond), f.name, what, hold.Round(time.Millisecond))
		if f.progress {
			took := n.flow.mustProgress("during "+f.name+" ("+what+")", progressDuring, nil)
			n.t.Logf("  progress everywhere after %v", took.Round(time.Millisecond))
		}
		time.Sleep(max(0, hold-(n.flow.rec.Now()-began)))
		undo()
		took := n.flow.mustProgress("after "+f.name+" ("+what+")", progressAfter, nil)
		n.t.Logf("  progress everywhere %v after it was mended", took.Round(time.Millisecond))
	}
}

// Kills, pauses and restarts of processes, in turns chosen by the seed.
func TestClusterProcessFaults(t *testing.T) {
	n := newNemesis(newScene(t, sceneConfig{flow: flowConfig{careless: 1}}))
	n.rage(n.processFaults(), rounds(t, 8))
	n.end()
}

// Cuts of every shape between three hosts, mixed with kills and pauses.
func TestClusterNetworkFaults(t *testing.T) {
	n := newNemesis(newScene(t, sceneConfig{hosts: true, flow: flowConfig{careless: 1}}))
	faults := slices.DeleteFunc(n.networkFaults(), func(f fault) bool { return f.name == "a ring" }) // three are a ring already
	n.rage(append(faults, n.processFaults()...), rounds(t, 8))
	n.network.Heal()
	n.end()
}

// The same between five hosts, where rings and bridges leave majorities that overlap.
func TestClusterOfFiveNetworkFaults(t *testing.T) {
	n := newNemesis(newScene(t, sceneConfig{nodes: 5, hosts: true}))
	n.rage(append(n.networkFaults(), n.processFaults()...), rounds(t, 6))
	n.network.Heal()
	n.end()
}

// Power losses of one and of all, mixed with kills: nothing that was acknowledged is lost.
func TestClusterPowerLoss(t *testing.T) {
	n := newNemesis(newScene(t, sceneConfig{diskMiB: 512, allowed: diskFaults()}))
	n.rage(append(n.diskFaults(), n.processFaults()[0], n.processFaults()[6]), rounds(t, 6))
	n.end()
}
