//go:build e2e

package chaos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-io/millrace/e2e/harness"
)

// Each test here is a schedule that broke somebody: the number is that of the finding in the list of
// Jepsen's and others' reports (Redpanda 21.10, NATS 2.12, Kafka 2013).

// others returns the nodes but one.
func (s *scene) others(node *harness.Node) []*harness.Node {
	return slices.DeleteFunc(slices.Clone(s.Nodes()), func(n *harness.Node) bool { return n == node })
}

// awaitLedByOthers waits until a node leads nothing.
func (s *scene) awaitLedByOthers(node *harness.Node) {
	s.t.Helper()
	harness.Await(s.t, fmt.Sprintf("others lead instead of node %d", node.ID()), 30*time.Second, func(ctx context.Context) error {
		partitions, err := s.partitions(ctx)
		if err != nil {
			return err
		}
		for _, p := range partitions {
			if p.Leader == int32(node.ID()) || p.Leader < 1 {
				return fmt.Errorf("partition %d has leader %d", p.Partition, p.Leader)
			}
		}
		return nil
	})
}

// Finding 3 (Redpanda #3003): a leader that is paused in the middle of its replication claims success when it goes on,
// though others lead by then.
func TestRegressionPausedLeaderClaimsNothing(t *testing.T) {
	s := newScene(t, sceneConfig{})
	for range rounds(t, 2) {
		victim := s.leader(0)
		victim.Pause()
		s.awaitLedByOthers(victim)
		second := s.leader(0)
		second.Kill()
		victim.Resume()
		s.flow.mustProgress("with the paused leader back and its successor killed", progressAfter, nil)
		second.Restart()
		s.awaitInSync(30 * time.Second)
	}
	s.end()
}

// Findings 7 and 8 (Redpanda lost and stale messages, #3335): topics come and go while brokers are killed; those that stay
// lose nothing, and no process fails over a partition that is on its way out.
func TestRegressionTopicsComeAndGoUnderKills(t *testing.T) {
	s := newScene(t, sceneConfig{})
	for round := range rounds(t, 3) {
		name := fmt.Sprintf("passing-%d", round)
		s.createTopic(name, 12, nil)
		victim := s.Nodes()[round%len(s.Nodes())]
		victim.Kill()
		admin, done := s.admin()
		harness.Await(t, "delete "+name, 30*time.Second, func(ctx context.Context) error {
			deleted, err := admin.DeleteTopics(ctx, name)
			if err == nil {
				err = deleted.Error()
			}
			return err
		})
		done()
		victim.Restart()
		s.flow.mustProgress("after topics went", progressAfter, nil)
	}
	s.end()
}

// Finding 21 (NATS #7567): a paused minority P1 misses acknowledged records; C loses its power; P2 is paused, P1 goes on and
// C comes back. The new majority of P1 and C must not begin without what only C (on its disk) and P2 have.
func TestRegressionPausedMinorityAndPowerLoss(t *testing.T) {
	s := newScene(t, sceneConfig{diskMiB: 512, allowed: diskFaults()})
	for round := range rounds(t, 2) {
		p1, p2, c := s.Nodes()[round%3], s.Nodes()[(round+1)%3], s.Nodes()[(round+2)%3]
		p1.Pause()
		s.flow.mustProgress("with P1 paused", progressDuring, nil)
		time.Sleep(3 * time.Second)
		s.powerLoss(c)
		time.Sleep(time.Second)
		p2.Pause()
		p1.Resume()
		c.Restart()
		time.Sleep(4 * time.Second)
		p2.Resume()
		s.flow.mustProgress("with everybody back", progressAfter, nil)
		s.awaitInSync(40 * time.Second)
	}
	s.end()
}

// Findings 22 and 23 (NATS #7549, #7556): files of a minority are damaged while it is down. The node mends itself from the
// others, refuses what is damaged, or (a changed byte below the recovery point, which only its readers find, by the
// checksum) keeps it; it never takes the lead with what it has left, nothing that was acknowledged is lost, and no topic is
// deleted. With a new disk it fills itself from the others.
func TestRegressionCorruptMinority(t *testing.T) {
	found := regexp.MustCompile(`corrupt|checksum|malformed|torn|offline|does not follow|invalid`)
	for _, tc := range []struct {
		name    string
		pattern string
		damage  func(string) error
	}{
		{"log, a bit", "logs/chaos-*/*.log", flipInTheMiddle},
		{"log, cut in the middle", "logs/chaos-*/*.log", cutInTheMiddle},
		{"log, a sector of zeros", "logs/chaos-*/*.log", zeroSector},
		{"index", "logs/chaos-*/*.index", garble},
		{"leader epochs", "logs/chaos-*/leader-epoch-checkpoint", garble},
		{"producer snapshots", "logs/chaos-*/*.snapshot", garble},
		{"high watermarks", "logs/replication-offset-checkpoint", garble},
		{"recovery points", "logs/recovery-point-offset-checkpoint", garble},
		{"metadata log", "metadata/raft*", flipInTheMiddle},
		{"metadata snapshots", "metadata/snapshots/*/*", flipInTheMiddle},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScene(t, sceneConfig{allowed: []*regexp.Regexp{found}, topic: map[string]*string{"segment.bytes": kadm.StringPtr("1048576")},
				flow: flowConfig{sizeBytes: 400}})
			time.Sleep(4 * time.Second)
			victim := s.leader(0)
			victim.Stop()
			files, err := filepath.Glob(filepath.Join(victim.DataDir(), tc.pattern))
			if err != nil {
				t.Fatal(err)
			}
			damaged := 0
			for _, name := range files {
				if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
					if err := tc.damage(name); err != nil {
						t.Fatal(err)
					}
					damaged++
				}
			}
			t.Logf("%d files %s are damaged on node %d", damaged, tc.pattern, victim.ID())
			victim.Start()
			s.flow.mustProgress("with a damaged node", progressAfter, nil)
			time.Sleep(3 * time.Second)
			s.settleDamaged(victim, strings.HasPrefix(tc.name, "log"))
		})
	}
}

// settleDamaged judges a scene with a node that may have repaired itself, serve a part, or refused to start.
// keeps says that the damage may still be there.
func (s *scene) settleDamaged(victim *harness.Node, keeps bool) {
	s.t.Helper()
	whole := victim.Running() && s.inSyncWithin(15*time.Second) && !keeps
	s.t.Logf("the damaged node runs: %v, in sync everywhere: %v", victim.Running(), whole)
	if !whole { // an operator gives it an empty disk: it fills it from the others
		victim.Kill()
		if err := os.RemoveAll(victim.DataDir()); err != nil {
			s.t.Fatal(err)
		}
		victim.Restart()
	}
	s.end()
}

func (s *scene) inSyncWithin(limit time.Duration) bool {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if s.allInSync(s.t.Context()) == nil {
			return true
		}
	}
	return false
}

// Finding 24 (NATS #7545): members change while nodes are cut off and killed.
func TestRegressionWipedDisksUnderCuts(t *testing.T) {
	s := newScene(t, sceneConfig{hosts: true})
	for round := range rounds(t, 2) {
		s.awaitVoters(40 * time.Second)
		victim, cut := s.Nodes()[round%3], s.Nodes()[(round+1)%3]
		victim.Kill()
		if err := os.RemoveAll(victim.DataDir()); err != nil {
			t.Fatal(err)
		}
		victim.Start()
		time.Sleep(300 * time.Millisecond)
		s.network.Cut(cut.ID(), victim.ID())
		time.Sleep(2 * time.Second)
		s.network.Heal()
		victim.AwaitServing()
		s.flow.mustProgress("with a new disk", progressAfter, nil)
		s.awaitInSync(40 * time.Second)
	}
	s.end()
}

// Finding 25 (NATS #6888): a few kills make the cluster forget what it had.
func TestRegressionKillsForgetNoTopic(t *testing.T) {
	s := newScene(t, sceneConfig{})
	all := rounds(t, 4)
	for round := range all {
		s.createTopic(fmt.Sprintf("made-in-round-%d", round), 3, nil)
		s.KillAll()
		s.StartAll()
		s.flow.mustProgress("after all were killed", progressAfter, nil)
	}
	admin, done := s.admin()
	defer done()
	topics, err := admin.ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for round := range all {
		if name := fmt.Sprintf("made-in-round-%d", round); !topics.Has(name) {
			t.Errorf("topic %s was created and is gone", name)
		}
	}
	s.end()
}

// Finding 26 (Kafka 2013): the in-sync set shrinks to the leader, the leader dies, and those that lag must not lead. With
// min.insync.replicas of 2 nothing is acknowledged meanwhile, and everything comes back with the leader.
func TestRegressionLaggardsAreNotElected(t *testing.T) {
	s := newScene(t, sceneConfig{})
	last := s.leader(0)
	for _, n := range s.others(last) {
		n.Kill()
	}
	time.Sleep(4 * time.Second)
	before := s.acked()
	time.Sleep(2 * time.Second)
	if after := s.acked(); after != before {
		t.Errorf("%d records were acknowledged by one broker of three", after-before)
	}
	last.Kill()
	s.StartAll()
	s.flow.mustProgress("with everybody back", progressAfter, nil)
	s.end()
}

func (s *scene) acked() (sum int) {
	for _, key := range s.flow.keys() {
		sum += s.flow.rec.Acked(key)
	}
	return sum
}

// Redpanda #18523 and #5090, #7544: a follower that was away for long, and then a leader, answer and ask late; nothing is
// cut below what is committed, and no reader sees a high watermark go back (the flow watches).
func TestRegressionLateReplicationCutsNothing(t *testing.T) {
	s := newScene(t, sceneConfig{})
	for range rounds(t, 2) {
		leader := s.leader(0)
		follower := s.others(leader)[0]
		follower.Pause()
		time.Sleep(2 * time.Second)
		leader.Pause()
		follower.Resume() // what it asked the leader for is still on its way
		s.flow.mustProgress("with the follower back and the leader paused", progressAfter, nil)
		leader.Resume()
		s.flow.mustProgress("with both back", progressAfter, nil)
		s.awaitInSync(30 * time.Second)
	}
	s.end()
}

// Redpanda v26.1.14: a node that comes back again and again disturbs nobody: no gap of the clients is as long as an election.
func TestRegressionReturningNodeDisturbsNobody(t *testing.T) {
	s := newScene(t, sceneConfig{hosts: true})
	victim := s.Nodes()[2]
	s.network.Split([]int{victim.ID()}, []int{1, 2})
	s.awaitLedByOthers(victim)
	for range 5 {
		s.network.Heal()
		time.Sleep(1500 * time.Millisecond)
		s.network.Split([]int{victim.ID()}, []int{1, 2})
		s.flow.mustProgress("while a node comes and goes", progressDuring, nil)
	}
	s.network.Heal()
	s.end()
}

// A disk is lost for good: the node comes back empty, is a learner first, and ends with everything.
func TestClusterWipedDisk(t *testing.T) {
	s := newScene(t, sceneConfig{})
	for _, victim := range s.Nodes()[:min(len(s.Nodes()), rounds(t, 2))] {
		s.awaitVoters(40 * time.Second)
		victim.Kill()
		s.flow.mustProgress("with a node down", progressDuring, nil)
		if err := os.RemoveAll(victim.DataDir()); err != nil {
			t.Fatal(err)
		}
		victim.Restart()
		s.flow.mustProgress("with a node on a new disk", progressAfter, nil)
		s.awaitInSync(60 * time.Second)
	}
	s.end()
}

// Redpanda #14794: records that were acknowledged by the leader alone (acks=1) were shown to readers, and then were lost with it.
// Here the leader has no follower left when it takes some: nobody is shown them, neither then nor after another leads.
func TestRegressionReadersSeeNothingThatOneBrokerHas(t *testing.T) {
	s := newScene(t, sceneConfig{})
	s.flow.finish() // this is about one topic with its own clients
	s.createTopic("alone", 1, map[string]*string{"min.insync.replicas": kadm.StringPtr("2")})
	write := func(value string) {
		t.Helper()
		cl := s.flow.client(kgo.DefaultProduceTopic("alone"), kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
		defer cl.Close()
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatalf("write %q: %v", value, err)
		}
	}
	var reading sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := make(chan string, 100)
	reader := s.flow.client(kgo.ConsumeTopics("alone"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
	defer reader.Close()
	reading.Go(func() {
		for ctx.Err() == nil {
			reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) { seen <- string(r.Value) })
		}
	})
	mustSee := func(want string) {
		t.Helper()
		select {
		case got := <-seen:
			if got != want {
				t.Fatalf("read %q, want %q", got, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%q was not read", want)
		}
	}
	write("of all")
	mustSee("of all")
	last := s.leaderOf("alone")
	others := s.others(last)
	for _, n := range others {
		n.Kill()
	}
	write("of one")
	time.Sleep(2 * time.Second) // in which a reader would be shown it
	last.Kill()
	for _, n := range others {
		n.Start()
	}
	for _, n := range others {
		n.AwaitServing()
	}
	harness.Await(t, "another leads", 30*time.Second, func(context.Context) error {
		if s.leaderOf("alone") == last {
			return fmt.Errorf("node %d does, and is dead", last.ID())
		}
		return nil
	})
	write("of two")
	mustSee("of two")
	last.Start()
	last.AwaitServing()
	cancel()
	reading.Wait()
}

// leaderOf returns who leads the first partition of a topic, and lets it settle before.
func (s *scene) leaderOf(topic string) (leader *harness.Node) {
	s.t.Helper()
	harness.Await(s.t, "a leader of "+topic, 30*time.Second, func(ctx context.Context) error {
		admin, done := s.admin()
		defer done()
		topics, err := admin.ListTopics(ctx, topic)
		if err != nil {
			return err
		}
		p := topics[topic].Partitions[0]
		if p.Leader < 1 {
			return fmt.Errorf("there is none: %+v", p)
		}
		leader = s.Node(int(p.Leader))
		return nil
	})
	return leader
}
