//go:build e2e

package chaos

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/millrace-io/millrace/e2e/harness"
)

// diskFaults are the ERROR lines of a broker whose disk is taken away.
func diskFaults() []*regexp.Regexp {
	return []*regexp.Regexp{regexp.MustCompile(`input/output error|read-only file system|is offline|no space left on device`)}
}

// The power fails under load, again and again: all that was not flushed is gone, metadata included. With acks=all
// and no write caching nothing acknowledged is missing; with it records may be missing, and nothing else may be wrong.
func TestPowerLoss(t *testing.T) {
	for _, tc := range []struct {
		name      string
		configs   map[string]*string
		tolerated []string
	}{
		{"fsync before the ack", nil, nil},
		{"small segments", map[string]*string{"segment.bytes": kadm.StringPtr("1048576")}, nil},
		{"write caching", map[string]*string{"write.caching": kadm.StringPtr("true")}, []string{"lost", "moved"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDisk(t, 512)
			m := harness.StartMillrace(t, harness.MillraceConfig{DataDir: d.dir("data"), Allowed: diskFaults()})
			createTopic(t, m.Address(), "chaos", partitions, tc.configs)
			ledger := NewLedger()
			load := startLoad(t, m.Address(), loadConfig{topic: "chaos", sizeBytes: 100}, ledger)
			all := rounds(t, 4)
			var slowest time.Duration
			for round := range all {
				createTopic(t, m.Address(), fmt.Sprintf("made-in-round-%d", round), 1, nil)
				awaitAcknowledged(t, ledger, 200, 20*time.Second)
				time.Sleep(rand.N(700 * time.Millisecond))
				d.powerLoss(m.PID())
				select {
				case <-m.Gone():
				case <-time.After(rand.N(500 * time.Millisecond)):
				}
				m.Kill()
				d.repair()
				began := time.Now()
				m.Restart()
				slowest = max(slowest, time.Since(began))
				if round%8 == 3 {
					judgeSoFar(t, m, ledger, tc.tolerated)
				}
			}
			awaitAcknowledged(t, ledger, 200, 20*time.Second)
			load.stop(t)
			mustHaveTopics(t, m.Address(), all)
			anomalies := judge(t, m.Address(), ledger, tc.tolerated...)
			if len(tc.tolerated) > 0 && len(anomalies) == 0 {
				t.Error("nothing was lost with write caching: the fault does not take away what was not flushed")
			}
			sent, acked := ledger.Counts()
			t.Logf("%d rounds: %d records sent, %d acknowledged, %d anomalies tolerated; slowest restart %v", all, sent, acked, len(anomalies), slowest.Round(time.Millisecond))
		})
	}
}

// judgeSoFar checks while the load goes on: a snapshot of the promises is taken before the reads.
func judgeSoFar(t *testing.T, m *harness.Millrace, ledger *Ledger, tolerated []string) {
	t.Helper()
	promised := ledger.Promises()
	reads, err := readAll(t, m.Address(), "chaos")
	if err != nil {
		t.Fatalf("read back under load: %v", err)
	}
	report(t, ledger.CheckPromises(promised, reads), tolerated...)
}

// mustHaveTopics asks for the topics whose creation was acknowledged, one in each round.
func mustHaveTopics(t *testing.T, address string, rounds int) {
	t.Helper()
	cl := newClient(t, address)
	defer cl.Close()
	topics, err := kadm.NewClient(cl).ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for round := range rounds {
		if name := fmt.Sprintf("made-in-round-%d", round); !topics.Has(name) {
			t.Errorf("topic %s was created and is gone", name)
		}
	}
}
