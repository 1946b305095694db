package share

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/share/delivery"
)

// batchOf builds a batch of so many records; producer -1 is none.
func batchOf(t *testing.T, base int64, records int, producer int64, transactional bool) record.Batch {
	t.Helper()
	b := record.NewBuilder(record.BuilderOptions{HasProducer: producer >= 0, ProducerID: producer, Transactional: transactional})
	for range records {
		b.Append(1, nil, []byte("x"), nil)
	}
	built, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	built.SetBaseOffset(base)
	return built
}

func markerOf(base, producer int64, marker record.MarkerType) record.Batch {
	b := record.EndTxnBatch(producer, 0, 1, record.EndTxnMarker{Type: marker})
	b.SetBaseOffset(base)
	return b
}

func TestWhatNobodyMayHaveIsHidden(t *testing.T) {
	var data []byte
	for _, b := range []record.Batch{
		batchOf(t, 10, 2, -1, false), batchOf(t, 12, 1, 7, true), batchOf(t, 13, 1, 8, true), markerOf(14, 7, record.AbortMarker),
		batchOf(t, 15, 1, 7, true), markerOf(16, 8, record.CommitMarker), markerOf(17, 7, record.CommitMarker),
	} {
		data = append(data, b...)
	}
	spans, err := spansIn(data)
	if err != nil {
		t.Fatal(err)
	}
	hideAborted(spans, []log.AbortedTransaction{{ProducerID: 9, FirstOffset: 40}, {ProducerID: 7, FirstOffset: 12}})
	seen := ""
	for _, s := range spans {
		if !s.Hidden {
			seen += fmt.Sprintf("%d-%d ", s.First, s.Last)
		}
	}
	if want := "10-11 13-13 15-15 "; seen != want {
		t.Errorf("%s can be had, must be %s", seen, want)
	}
	if got := trim(data, spans, 13, 15); len(got) != spans[4].end-spans[2].begin {
		t.Errorf("%d bytes are left of what holds 13 to 15", len(got))
	}
}

func TestRangesAreCutAtBatches(t *testing.T) {
	spans := []span{{Span: delivery.Span{First: 0, Last: 3}}, {Span: delivery.Span{First: 4, Last: 5}}, {Span: delivery.Span{First: 6, Last: 9}}}
	for size, want := range map[int64]string{0: "[{0 9 acquired 1}]", 4: "[{0 3 acquired 1} {4 9 acquired 1}]", 5: "[{0 5 acquired 1} {6 9 acquired 1}]", 100: "[{0 9 acquired 1}]"} {
		if got := fmt.Sprint(divide([]delivery.Batch{{First: 0, Last: 9, State: delivery.Acquired, Count: 1}}, spans, size)); got != want {
			t.Errorf("in batches of %d: %s, must be %s", size, got, want)
		}
	}
}

func TestWhereAGroupBegins(t *testing.T) {
	for reset, want := range map[string]time.Duration{
		"by_duration:PT1H": time.Hour, "by_duration:P2D": 48 * time.Hour, "by_duration:P1DT2H3M4.5S": 26*time.Hour + 3*time.Minute + 4500*time.Millisecond, "latest": 0,
	} {
		if earliest, back := (Settings{Reset: reset}).begin(); earliest || back != want {
			t.Errorf("%s is %v back, must be %v", reset, back, want)
		}
	}
	if earliest, _ := (Settings{Reset: "earliest"}).begin(); !earliest {
		t.Error("earliest is not the start")
	}
}
