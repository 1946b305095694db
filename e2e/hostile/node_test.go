//go:build e2e

package hostile

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-io/millrace/e2e/harness"
)

// patience is how long the neighbour may have to wait for one record to come back while an attack lasts.
const patience = 10 * time.Second

// node is a broker under attack with its neighbour.
type node struct {
	*harness.Millrace
	t        *testing.T
	boundMiB int64
	peak     atomic.Int64 // largest RssAnon seen, bytes
	done     chan struct{}
	all      sync.WaitGroup

	mu      sync.Mutex
	slowest time.Duration // guarded by mu: from produce to consume
	echoes  int           // guarded by mu
	fault   error         // guarded by mu: the first of the neighbour
}

// startNode starts a broker, its neighbour and the watch on its memory. The bound is checked at the end of the test.
func startNode(t *testing.T, boundMiB int64, settings map[string]string) *node {
	t.Helper()
	n := &node{Millrace: harness.StartMillrace(t, harness.MillraceConfig{Settings: settings}), t: t, boundMiB: boundMiB, done: make(chan struct{})}
	n.all.Go(n.watchMemory)
	n.all.Go(n.neighbour)
	t.Cleanup(func() {
		close(n.done)
		n.all.Wait()
		n.mu.Lock()
		defer n.mu.Unlock()
		t.Logf("anonymous memory at most %d MiB; neighbour: %d records back, the slowest after %v", n.peak.Load()>>20, n.echoes, n.slowest.Round(time.Millisecond))
		if n.peak.Load()>>20 >= boundMiB {
			t.Errorf("anonymous memory grew to %d MiB, the bound is %d MiB", n.peak.Load()>>20, boundMiB)
		}
		if n.fault != nil {
			t.Errorf("the neighbour: %v", n.fault)
		}
		if n.slowest > patience || n.echoes == 0 {
			t.Errorf("the neighbour got %d records back and waited up to %v", n.echoes, n.slowest)
		}
		select {
		case <-n.Gone():
			t.Error("the broker is gone")
		default:
		}
	})
	return n
}

// rssAnon reads the anonymous memory of a process, 0 when it is gone.
func rssAnon(pid int) int64 {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "RssAnon:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 64)
			return kib << 10
		}
	}
	return 0
}

func openFiles(t *testing.T, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func (n *node) watchMemory() {
	for {
		n.peak.Store(max(n.peak.Load(), rssAnon(n.PID())))
		select {
		case <-n.done:
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// neighbour sends one record after the other and waits for each to be consumed.
func (n *node) neighbour() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { <-n.done; cancel() }()
	cl, err := kgo.NewClient(kgo.SeedBrokers(n.Address()), kgo.DefaultProduceTopic("neighbour"), kgo.ConsumeTopics("neighbour"),
		kgo.AllowAutoTopicCreation(), kgo.ProducerLinger(0), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.ClientID("neighbour"))
	if err != nil {
		n.neighbourFailed(err)
		return
	}
	defer cl.Close()
	for k := 0; ctx.Err() == nil; k++ {
		began := time.Now()
		want := strconv.Itoa(k)
		if err := cl.ProduceSync(ctx, kgo.StringRecord(want)).FirstErr(); err != nil {
			n.neighbourFailed(err)
			continue
		}
		for back := false; !back && ctx.Err() == nil; {
			fetches := cl.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				n.neighbourFailed(err)
				break
			}
			fetches.EachRecord(func(r *kgo.Record) { back = back || string(r.Value) == want })
		}
		if ctx.Err() != nil {
			return
		}
		n.mu.Lock()
		n.slowest, n.echoes = max(n.slowest, time.Since(began)), n.echoes+1
		n.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (n *node) neighbourFailed(err error) {
	select {
	case <-n.done:
		return
	default:
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fault == nil {
		n.fault = err
	}
}

// awaitNeighbour waits for records to come back from now on: the broker still serves others.
func (n *node) awaitNeighbour(records int) {
	n.t.Helper()
	n.mu.Lock()
	target := n.echoes + records
	n.mu.Unlock()
	for deadline := time.Now().Add(2 * patience); ; time.Sleep(5 * time.Millisecond) {
		n.mu.Lock()
		echoes := n.echoes
		n.mu.Unlock()
		if echoes >= target {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("the neighbour waits for %d more records", target-echoes)
		}
	}
}
