//go:build e2e

package ecosystem

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-io/millrace/e2e/harness"
)

// flow is what the load has sent, and so what must come out.
type flow struct {
	words   map[string]int // how often each word was sent
	windows map[string]int // by word@start of the window
	joined  map[string]string
	total   int // of words
}

var vocabulary = strings.Fields("mill race water wheel stone flour grain dam sluice leat miller sack shaft gear hopper")

// Kafka Streams with exactly-once: a count per word, a count per word and window, and a join, while brokers and instances
// of the application are killed. Without caches every update comes out, so each word's counts must be 1, 2, 3 and on, in
// this order: one record processed twice, or its output lost, would show.
func TestStreamsCountExactlyOnce(t *testing.T) {
	s := newSite(t)
	s.createTopics("lines", "orders", "payments", "counts", "windowed", "joined")
	classpath := s.compile("Pipeline.java")
	var instances []*program
	for i := range 2 {
		state := filepath.Join(t.TempDir(), "state")
		instances = append(instances, run(func() *harness.Process {
			return s.java(fmt.Sprintf("streams-%d", i), classpath, "Pipeline", s.bootstrap(), "pipeline", state, "classic")
		}))
	}
	killer := s.startKilling(instances...)
	sent := s.sendWords(load(t))
	killer.end()
	got := s.read(map[string]int{"counts": sent.total, "windowed": sent.total, "joined": len(sent.joined)}, instances...)
	mustCountUp(t, got["counts"], sent.words)
	mustCountUp(t, got["windowed"], sent.windows)
	mustJoinOnce(t, got["joined"], sent.joined)
	t.Logf("%d words in %d windows, %d joins, %d kills", sent.total, len(sent.windows), len(sent.joined), killer.kills)
	for _, p := range instances {
		p.process.Terminate(40 * time.Second)
	}
}

// sendWords sends lines, orders and payments for so long, with times that the windows are cut by.
func (s *site) sendWords(d time.Duration) flow {
	s.t.Helper()
	sent := flow{words: map[string]int{}, windows: map[string]int{}, joined: map[string]string{}}
	random := rand.New(rand.NewPCG(1, 2))
	start := time.Now().Truncate(time.Hour)
	var failed sync.Once
	send := func(topic, key, value string, at time.Time) {
		s.client.Produce(s.t.Context(), &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value), Timestamp: at}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Do(func() { s.t.Errorf("produce to %s: %v", topic, err) })
			}
		})
	}
	for i, end := 0, time.Now().Add(d); time.Now().Before(end); i++ {
		at := start.Add(time.Duration(i) * 50 * time.Millisecond)
		var line []string
		for range 1 + random.IntN(5) {
			word := vocabulary[random.IntN(len(vocabulary))]
			line = append(line, word)
			sent.words[word]++
			sent.windows[word+"@"+strconv.FormatInt(at.UnixMilli()/10_000*10_000, 10)]++
			sent.total++
		}
		key := strconv.Itoa(i)
		send("lines", key, strings.Join(line, " "), at)
		send("orders", key, "o"+key, at)
		if i%3 == 0 {
			send("payments", key, "p"+key, at)
			sent.joined[key] = "o" + key + "+p" + key
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := s.client.Flush(s.t.Context()); err != nil {
		s.t.Fatalf("flush the load: %v", err)
	}
	return sent
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
