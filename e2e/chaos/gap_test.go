//go:build e2e

package chaos

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace-io/millrace/e2e/chaos/checker"
	"github.com/millrace-io/millrace/e2e/harness"
)

// meter measures the time without an acknowledged record in each partition over many faults.
type meter struct {
	s       *scene
	windows []window
}

// window is the time of one fault and the partitions that it is about (nil: all).
type window struct {
	from, to time.Duration
	keys     []checker.Key
}

// steady is the load of the meter: a record for every partition every few milliseconds, by clients with the timeouts of
// an application that sets none; their backoff is that of the Java client (retry.backoff.ms, 100 ms).
func steady() flowConfig {
	return flowConfig{patient: true, idempotent: 3, assigned: 1, grouped: 1, pause: 20 * time.Millisecond}
}

// around measures one fault: what do does, until all partitions make progress again.
func (m *meter) around(name string, keys []checker.Key, do func()) {
	m.s.t.Helper()
	time.Sleep(300 * time.Millisecond)
	w := window{from: m.s.flow.rec.Now(), keys: keys}
	do()
	m.s.flow.mustProgress(name, 30*time.Second, nil)
	time.Sleep(200 * time.Millisecond)
	w.to = m.s.flow.rec.Now()
	m.windows = append(m.windows, w)
}

// tell prints the figures.
func (m *meter) tell(name string) (median, longest time.Duration) {
	acks := map[checker.Key][]time.Duration{}
	for _, op := range m.s.flow.rec.History().Ops {
		if op.Kind == checker.Produce && op.Outcome == checker.OK {
			acks[op.Steps[0].Key] = append(acks[op.Steps[0].Key], op.Returned)
		}
	}
	var gaps []time.Duration
	for _, w := range m.windows {
		keys := w.keys
		if keys == nil {
			keys = m.s.flow.keys()
		}
		for _, key := range keys {
			gaps = append(gaps, checker.LongestGap(acks[key], w.from, w.to).Length())
		}
	}
	if len(gaps) == 0 {
		m.s.t.Fatal("no fault was measured")
	}
	slices.SortFunc(gaps, cmp.Compare[time.Duration])
	median, longest = gaps[len(gaps)/2], gaps[len(gaps)-1]
	m.s.t.Logf("FIGURE %s: %d times, gap median %v, 9 of 10 within %v, longest %v", name, len(m.windows),
		median.Round(time.Millisecond), gaps[len(gaps)*9/10].Round(time.Millisecond), longest.Round(time.Millisecond))
	return median, longest
}

// led lists the partitions that a node leads.
func (s *scene) led(node *harness.Node) (keys []checker.Key) {
	s.t.Helper()
	partitions, err := s.partitions(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range partitions {
		if p.Leader == int32(node.ID()) {
			keys = append(keys, checker.Key(p.Partition))
		}
	}
	return keys
}

// kill -9 of whoever leads partition 0, again and again: nothing is lost or written twice, and the figure is how long its
// partitions took nothing. Each time the cluster is whole before.
func TestClusterKillOfLeaders(t *testing.T) {
	s := newScene(t, sceneConfig{flow: steady()})
	m := &meter{s: s}
	for range rounds(t, 20) {
		s.awaitInSync(30 * time.Second)
		victim := s.leader(0)
		m.around("after kill -9 of a leader", s.led(victim), victim.Kill)
		victim.Restart()
	}
	m.tell("kill -9 of a leader")
	s.end()
}

// Every broker is restarted cleanly, one after the other: no error reaches a client, and partitions hardly notice.
func TestClusterCleanRestarts(t *testing.T) {
	s := newScene(t, sceneConfig{flow: steady()})
	m := &meter{s: s}
	for range max(1, rounds(t, 9)/3) {
		for _, node := range s.Nodes() {
			s.awaitInSync(30 * time.Second)
			m.around("during a clean restart", nil, func() {
				node.Stop()
				node.Restart()
			})
		}
	}
	m.tell("clean restart")
	s.end()
	for reason, n := range s.flow.refused {
		// A member that cannot reach its coordinator says so and asks again by itself.
		if !strings.Contains(reason, "context") && !strings.Contains(reason, "unable to join group session: unable to dial") {
			t.Errorf("%d times a client was told: %s", n, reason)
		}
	}
}

// The power of all brokers fails at once: nothing that was acknowledged is lost.
func TestClusterPowerLossOfAll(t *testing.T) {
	s := newScene(t, sceneConfig{diskMiB: 512, allowed: diskFaults()})
	m := &meter{s: s}
	for range rounds(t, 5) {
		m.around("after power loss of all", nil, func() {
			s.powerLossOfAll()
			s.StartAll()
		})
	}
	m.tell("power loss of all")
	s.end()
}
