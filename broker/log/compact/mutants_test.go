package compact

import (
	"math"
	"testing"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/log/segment"
)

// Each of these bugs must be found by the model within a few histories: else a pass of it says little.
func TestTheModelSeesPlantedBugs(t *testing.T) {
	for name, tamper := range map[string]func(f *filter){
		"tombstones go at once":                            func(f *filter) { f.deleteRetentionMillis = 0 },
		"tombstones go early":                              func(f *filter) { f.deleteRetentionMillis /= 2 },
		"the traces of producers are forgotten":            func(f *filter) { f.lastBatches = map[int64]log.LastBatch{} },
		"markers of a producer's last epoch are forgotten": func(f *filter) { forgetMarkers(f.lastBatches) },
		"aborted transactions count as committed":          func(f *filter) { f.transactions.aborted = nil },
		"the index keeps what has no marker any more": func(f *filter) {
			f.transactions.kept = append([]segment.AbortedTxn{}, f.transactions.aborted...)
		},
		"the map is taken for complete when it is full":    func(f *filter) { f.mapEnd = math.MaxInt64 },
		"what lies before the dirty part counts as mapped": func(f *filter) { f.firstDirty = 0 },
		"keys collide":       func(f *filter) { f.live = f.live[:len(f.live)/2] },
		"nothing is removed": func(f *filter) { f.mapEnd = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(300) {
				if err := checkHistory(t, fromSeed(seed), 100, tamper); err != nil {
					t.Logf("seed %d: %v", seed, err)
					if err := checkHistory(t, fromSeed(seed), 100, nil); err != nil {
						t.Fatalf("without the bug, too: %v", err)
					}
					return
				}
			}
			t.Fatal("300 histories pass with it")
		})
	}
}

func forgetMarkers(last map[int64]log.LastBatch) {
	for id, b := range last {
		if b.Offset < 0 {
			delete(last, id)
		}
	}
}
