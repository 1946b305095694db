//go:build e2e

package chaos

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-io/millrace/e2e/harness"
)

// A broker is killed at any moment under an idempotent load with acks=all, again and again, and started again each time:
// nothing acknowledged is missing, nothing is there twice, and each producer's order holds.
func TestKillUnderLoadLosesNothing(t *testing.T) {
	for _, tc := range []struct {
		name    string
		configs map[string]*string
		codec   kgo.CompressionCodec
	}{
		{"fsync before the ack", nil, kgo.NoCompression()},
		{"small segments, lz4", map[string]*string{"segment.bytes": kadm.StringPtr("1048576")}, kgo.Lz4Compression()},
		{"write caching", map[string]*string{"write.caching": kadm.StringPtr("true")}, kgo.NoCompression()}, // kill -9 leaves the page cache alone
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := harness.StartMillrace(t, harness.MillraceConfig{})
			createTopic(t, m.Address(), "chaos", partitions, tc.configs)
			ledger := NewLedger()
			load := startLoad(t, m.Address(), loadConfig{topic: "chaos", codec: tc.codec}, ledger)
			var slowest time.Duration
			for round := range rounds(t, 8) {
				time.Sleep(200*time.Millisecond + rand.N(800*time.Millisecond))
				m.Kill()
				began := time.Now()
				m.Restart()
				slowest = max(slowest, time.Since(began))
				if round%4 == 3 { // a clean stop in between must do no harm either
					time.Sleep(300 * time.Millisecond)
					m.Stop()
					m.Restart()
				}
			}
			time.Sleep(500 * time.Millisecond)
			load.stop(t)
			judge(t, m.Address(), ledger)
			m.Kill()
			m.Restart()
			judge(t, m.Address(), ledger)
			sent, acked := ledger.Counts()
			t.Logf("%d records sent, %d acknowledged; slowest restart %v", sent, acked, slowest.Round(time.Millisecond))
			if acked < 1000 {
				t.Errorf("only %d records were acknowledged: the load proved little", acked)
			}
		})
	}
}
