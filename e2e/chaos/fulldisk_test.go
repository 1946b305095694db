//go:build e2e

package chaos

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/e2e/harness"
)

const probing = 1000 // Value.Producer of probes

// A full disk refuses what is produced, with the one error that clients try again on, and nothing else: reads, metadata
// and the process go on. Room that comes back is used without a restart, also when the broker was killed and started
// again in between.
func TestFullDiskRefusesAndGoesOnByItself(t *testing.T) {
	for _, tc := range []struct {
		name    string
		configs map[string]*string
	}{
		{"one segment", nil},
		{"small segments", map[string]*string{"segment.bytes": kadm.StringPtr("1048576")}},
		{"write caching", map[string]*string{"write.caching": kadm.StringPtr("true")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDisk(t, 64)
			d.fill("filler", 32)
			m := harness.StartMillrace(t, harness.MillraceConfig{Settings: map[string]string{"data.log_directories": d.dir("logs")}, Allowed: fullDisk()})
			createTopic(t, m.Address(), "chaos", partitions, tc.configs)
			ledger := NewLedger()
			load := startLoad(t, m.Address(), loadConfig{topic: "chaos", sizeBytes: 1000}, ledger)
			p := newProbe(t, m.Address(), "chaos", ledger, probing)
			awaitRefused(t, p)
			_, acked := ledger.Counts()
			t.Logf("full after %d acknowledged records", acked)

			for n := range 30 {
				mustBeRefusedOrTaken(t, p.produce(int32(n%partitions), 100_000))
				time.Sleep(20 * time.Millisecond)
			}
			createTopic(t, m.Address(), "made-while-full", 1, nil)
			if reads, err := readAll(t, m.Address(), "chaos"); err != nil || len(reads) < acked {
				t.Errorf("on the full disk %d of %d acknowledged records could be read: %v", len(reads), acked, err)
			}

			m.Kill()
			m.Restart()
			p = newProbe(t, m.Address(), "chaos", ledger, probing+1)
			awaitRefused(t, p)
			if reads, err := readAll(t, m.Address(), "chaos"); err != nil || len(reads) < acked {
				t.Errorf("after the restart on the full disk %d of %d acknowledged records could be read: %v", len(reads), acked, err)
			}

			d.free("filler")
			awaitAcknowledged(t, ledger, 1000, 15*time.Second)
			if err := p.produce(0, 1000); err != nil {
				t.Errorf("with room again a record is answered %v", err)
			}
			load.stop(t)
			judge(t, m.Address(), ledger)
			m.Kill()
			m.Restart()
			judge(t, m.Address(), ledger)
		})
	}
}

// awaitRefused sends until the disk has no room for another record of 100 kB.
func awaitRefused(t *testing.T, p *probe) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		err := p.produce(0, 100_000)
		mustBeRefusedOrTaken(t, err)
		if err != nil {
			return
		}
	}
	t.Fatal("the disk did not fill up")
}

func mustBeRefusedOrTaken(t *testing.T, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, kerr.KafkaStorageError) {
		t.Errorf("a full disk answers %v, want KAFKA_STORAGE_ERROR", err)
	}
}
