//go:build e2e

package ecosystem

import (
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/e2e/harness"
)

// flow is what the load has sent, and so what must come out.
type flow struct {
	start   time.Time
	lines   int
	words   map[string]int // how often each word was sent
	windows map[string]int // by word@start of the window
	joined  map[string]string
	total   int // of words
}

var vocabulary = strings.Fields("mill race water wheel stone flour grain dam sluice leat miller sack shaft gear hopper")

// Kafka Streams with exactly-once: a count per word, a count per word and window, and a join, while brokers and instances
// of the application are killed, as members of a classic group and of a streams group (KIP-1071), whose tasks the broker
// divides; there every broker is killed once, and an instance more joins. Without caches every update comes out, so each word's counts must be 1, 2, 3 and on, in
// this order: one record processed twice, or its output lost, would show.
func TestStreamsCountExactlyOnce(t *testing.T) {
	for _, protocol := range []string{"classic", "streams"} {
		t.Run(protocol, func(t *testing.T) { countExactlyOnce(t, protocol) })
	}
}

func countExactlyOnce(t *testing.T, protocol string) {
	s := newSite(t)
	s.createTopics("lines", "orders", "payments", "counts", "windowed", "joined")
	classpath := s.compile("Pipeline.java")
	instance := func(name string) *program {
		state := filepath.Join(t.TempDir(), "state")
		return run(func() *harness.Process {
			return s.java(name, classpath, "Pipeline", s.bootstrap(), "pipeline", state, protocol)
		})
	}
	instances := []*program{instance("streams-0"), instance("streams-1")}
	sent := flow{start: time.Now().Truncate(time.Hour), words: map[string]int{}, windows: map[string]int{}, joined: map[string]string{}}
	var killer *killer
	if protocol == "classic" {
		killer = s.startKilling(peace, instances...)
		s.sendWords(&sent, load(t))
	} else {
		killer = s.startKilling(3*time.Second, instances...)
		s.sendWords(&sent, load(t)/2)
		instances = append(instances, instance("streams-2"))
		for killer.turns.Load() < int32(len(s.addresses)) && !t.Failed() { // until each was killed
			s.sendWords(&sent, time.Second)
		}
	}
	killer.end()
	got := s.read(map[string]int{"counts": sent.total, "windowed": sent.total, "joined": len(sent.joined)}, instances...)
	mustCountUp(t, got["counts"], sent.words)
	mustCountUp(t, got["windowed"], sent.windows)
	mustJoinOnce(t, got["joined"], sent.joined)
	t.Logf("%d words in %d windows, %d joins, %d kills", sent.total, len(sent.windows), len(sent.joined), killer.kills)
	if protocol == "streams" {
		s.mustShareTasks("pipeline", len(instances), instances...)
	}
	for _, p := range instances {
		p.process.Terminate(40 * time.Second)
	}
}

// mustShareTasks waits until a streams group is stable and each of so many processes has active tasks, three of each of four
// partitions in all.
func (s *site) mustShareTasks(group string, processes int, programs ...*program) {
	s.t.Helper()
	var described *kmsg.StreamsGroupDescribeResponseGroup
	for deadline := time.Now().Add(settledWithin); time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		if described = s.describeStreams(group); described == nil || described.State != "Stable" {
			continue
		}
		tasks, total := map[string]int{}, 0
		for _, m := range described.Members {
			for _, part := range m.Assignment.ActiveTasks {
				tasks[m.ProcessID] += len(part.Partitions)
				total += len(part.Partitions)
			}
		}
		if len(tasks) == processes && total == 3*partitions {
			s.t.Logf("tasks of processes: %v", slices.Sorted(maps.Values(tasks)))
			return
		}
	}
	for _, p := range programs {
		s.t.Logf("the end of a program's log:\n%s", p.process.Log(60))
	}
	s.t.Fatalf("%d processes do not share the tasks of %s within %v: %+v", processes, group, settledWithin, described)
}

// describeStreams asks the coordinator of a streams group for it; nil when there is no answer now.
func (s *site) describeStreams(group string) *kmsg.StreamsGroupDescribeResponseGroup {
	request := kmsg.NewPtrStreamsGroupDescribeRequest()
	request.Groups = []string{group}
	coordinator := s.admin.FindGroupCoordinators(s.t.Context(), group)[group]
	if coordinator.Err != nil {
		return nil
	}
	answer, err := request.RequestWith(s.t.Context(), s.client.Broker(int(coordinator.NodeID))) // kgo does not route it
	if err != nil || len(answer.Groups) != 1 || answer.Groups[0].ErrorCode != 0 {
		return nil
	}
	return &answer.Groups[0]
}

// sendWords sends lines, orders and payments for so long, with times that the windows are cut by.
func (s *site) sendWords(sent *flow, d time.Duration) {
	s.t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	var failed sync.Once
	send := func(topic, key, value string, at time.Time) {
		s.client.Produce(s.t.Context(), &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value), Timestamp: at}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Do(func() { s.t.Errorf("produce to %s: %v", topic, err) })
			}
		})
	}
	for end := time.Now().Add(d); time.Now().Before(end); sent.lines++ {
		at := sent.start.Add(time.Duration(sent.lines) * 50 * time.Millisecond)
		var line []string
		for range 1 + random.IntN(5) {
			word := vocabulary[random.IntN(len(vocabulary))]
			line = append(line, word)
			sent.words[word]++
			sent.windows[word+"@"+strconv.FormatInt(at.UnixMilli()/10_000*10_000, 10)]++
			sent.total++
		}
		key := strconv.Itoa(sent.lines)
		send("lines", key, strings.Join(line, " "), at)
		send("orders", key, "o"+key, at)
		if sent.lines%3 == 0 {
			send("payments", key, "p"+key, at)
			sent.joined[key] = "o" + key + "+p" + key
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := s.client.Flush(s.t.Context()); err != nil {
		s.t.Fatalf("flush the load: %v", err)
	}
}

// mustCountUp checks that the values of each key are 1, 2, 3 and on up to how often it was sent.
func mustCountUp(t *testing.T, records []*kgo.Record, want map[string]int) {
	t.Helper()
	last := map[string]int{}
	for _, r := range records {
		key := string(r.Key)
		n, err := strconv.Atoi(string(r.Value))
		if err != nil || n != last[key]+1 {
			t.Errorf("%s-%d at %d: count of %s is %q after %d", r.Topic, r.Partition, r.Offset, key, r.Value, last[key])
		}
		last[key] = n
	}
	for key, n := range want {
		if last[key] != n {
			t.Errorf("%s was sent %d times and counted %d times", key, n, last[key])
		}
	}
	if len(last) != len(want) {
		t.Errorf("%d keys were counted, want %d", len(last), len(want))
	}
}

func mustJoinOnce(t *testing.T, records []*kgo.Record, want map[string]string) {
	t.Helper()
	seen := map[string]bool{}
	for _, r := range records {
		key := string(r.Key)
		if seen[key] || want[key] != string(r.Value) {
			t.Errorf("joined %s: %q, want %q; seen before: %v", key, r.Value, want[key], seen[key])
		}
		seen[key] = true
	}
	if len(seen) != len(want) {
		t.Errorf("%d orders were joined, want %d", len(seen), len(want))
	}
}
