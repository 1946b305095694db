//go:build e2e

package chaos

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/millrace-io/millrace/e2e/harness"
)

const (
	linesOfAFullDisk = 150              // that a node may log while disks are full, and until there is room again
	roomUsedWithin   = 30 * time.Second // after there was room everybody makes progress
)

// The disks of two of three brokers are full at the same time, then those of all three, under producers and transactions.
// Nothing that was acknowledged is lost, no transaction is torn or left open, and with room again all goes on by itself.
func TestClusterFullDisks(t *testing.T) {
	for _, tc := range []struct {
		name     string
		metadata bool // on the same disks
	}{{"logs", false}, {"logs and metadata", true}} {
		t.Run(tc.name, func(t *testing.T) {
			var disks []*disk
			for range 3 {
				disks = append(disks, newDisk(t, 256))
			}
			config := sceneConfig{
				flow: flowConfig{idempotent: 2, transactional: 3}, allowed: fullDisk(), topic: smallSegments(),
				settings: map[string]string{"replica.lag.time.max.ms": "30000", "millrace.log.dir.room.bytes": "67108864"},
			}
			if tc.metadata {
				config.dataDir = func(id int) string { return disks[id-1].dir("data") }
			} else {
				config.own = func(id int) map[string]string {
					return map[string]string{"data.log_directories": disks[id-1].dir("logs")}
				}
			}
			n := newNemesis(newScene(t, config))
			n.disks = disks
			n.awaitInSync(30 * time.Second)
			for round := range min(rounds(t, 1), 2) { // a disk that is full again and again is believed to have room later and later
				for full := 2; full <= 3; full++ {
					n.fillDisks(round, full)
				}
			}
			n.mustCommit("after the last full disk")
			n.flow.mustProgress("at the end", roomUsedWithin, nil)
			n.flow.finish()
			n.StopAll()
		})
	}
}

// fillDisks fills so many disks at once, waits until their brokers feel it, and for a while; then it gives the room back.
func (n *nemesis) fillDisks(round, count int) {
	n.t.Helper()
	victims := n.rng.Perm(3)[:count]
	lines := n.logLines()
	for _, i := range victims {
		n.disks[i].fillUp("filler")
	}
	n.awaitFullDirectory(victims)
	hold := n.between(2*time.Second, 4*time.Second)
	n.t.Logf("round %d at %v: the disks of %d nodes are full (%v + 1), for %v", round, n.flow.rec.Now().Round(time.Millisecond), count, victims, hold.Round(time.Millisecond))
	for end := time.Now().Add(hold); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		for _, node := range n.Nodes() {
			if status, _, err := node.Get("/metrics"); err != nil || status != http.StatusOK {
				n.t.Errorf("with %d disks full the metrics of node %d: %d, %v", count, node.ID(), status, err)
			}
		}
	}
	for _, i := range victims {
		n.disks[i].free("filler")
	}
	began := time.Now()
	n.flow.mustProgress("with room again", roomUsedWithin, nil)
	wrote := time.Since(began)
	n.mustCommit("with room again")
	committed := time.Since(began)
	n.awaitInSync(60 * time.Second)
	n.t.Logf("with room again writes went on after %v, 20 transactions were committed after %v, all were in sync after %v",
		wrote.Round(time.Millisecond), committed.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	for i, now := range n.logLines() {
		if more := now - lines[i]; more > linesOfAFullDisk {
			n.t.Errorf("node %d logged %d lines while %d disks were full", i+1, more, count)
		}
	}
}

func (s *scene) logLines() (counts []int) {
	for _, node := range s.Nodes() {
		counts = append(counts, strings.Count(node.Log(), "\n"))
	}
	return counts
}

// awaitFullDirectory waits until one of the nodes says that its log directory is full: who only follows where nothing can be
// appended does not find out.
func (s *scene) awaitFullDirectory(victims []int) {
	s.t.Helper()
	full := regexp.MustCompile(`(?m)^millrace_log_dir_full\{.*\} 1$`)
	harness.Await(s.t, "a broker whose disk is full", 30*time.Second, func(context.Context) error {
		for _, i := range victims {
			_, body, err := s.Nodes()[i].Get("/metrics")
			if err != nil {
				return err
			}
			if full.MatchString(body) {
				return nil
			}
		}
		return errors.New("they take records")
	})
}
