//go:build e2e

package hostile

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace-io/millrace/e2e/harness"
)

// patience is how long the neighbour may have to wait for one record to come back while an attack lasts, on a machine that
// does nothing else.
const patience = 10 * time.Second

// node is a broker under attack with its neighbour.
type node struct {
	*harness.Millrace
	t        *testing.T
	boundMiB int64
	peak     atomic.Int64 // largest RssAnon seen, bytes
	done     chan struct{}
	all      sync.WaitGroup

	neighbour *neighbour
	crowd     crowd
}

// startNode starts a broker, its neighbour and the watch on its memory. The bound is checked at the end of the test.
func startNode(t *testing.T, boundMiB int64, settings map[string]string) *node {
	t.Helper()
	n := &node{Millrace: harness.StartMillrace(t, harness.MillraceConfig{Settings: settings}), t: t, boundMiB: boundMiB, done: make(chan struct{})}
	n.all.Go(n.watchMemory)
	n.neighbour = &neighbour{address: n.Address(), done: n.done}
	n.all.Go(n.neighbour.run)
	n.all.Go(func() { n.crowd.watch(n.done) })
	t.Cleanup(func() {
		close(n.done)
		n.all.Wait()
		echoes, slowest, fault := n.neighbour.verdict()
		t.Logf("anonymous memory at most %d MiB; neighbour: %d records back, the slowest after %v; %.1f threads for each core", n.peak.Load()>>20, echoes, slowest.Round(time.Millisecond), n.crowd.perCore())
		if n.peak.Load()>>20 >= boundMiB {
			t.Errorf("anonymous memory grew to %d MiB, the bound is %d MiB", n.peak.Load()>>20, boundMiB)
		}
		if fault != nil {
			t.Errorf("the neighbour: %v", fault)
		}
		if limit := n.crowd.stretch(patience); slowest > limit || echoes == 0 {
			t.Errorf("the neighbour got %d records back and waited up to %v; at most %v with so many other threads", echoes, slowest, limit)
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

// awaitNeighbour waits for records to come back from now on: the broker still serves others.
func (n *node) awaitNeighbour(records int) {
	n.t.Helper()
	before, _, _ := n.neighbour.verdict()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		echoes, _, fault := n.neighbour.verdict()
		if echoes >= before+records {
			return
		}
		if fault != nil || time.Since(began) > n.crowd.stretch(2*patience) {
			n.t.Fatalf("the neighbour waits for %d more records; %v", before+records-echoes, fault)
		}
	}
}
