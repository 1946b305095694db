package log

import (
	"sync"
	"testing"

	"github.com/millrace-io/millrace/broker/log/producer"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/vfs"
)

// transact appends a batch of a producer's transaction, or its end.
func transact(t *testing.T, l *Log, id int64, end *record.MarkerType) {
	t.Helper()
	e := Entry{Guard: producer.Unverified}
	if end != nil {
		e.Batch = record.EndTxnBatch(id, 0, 1000, record.EndTxnMarker{Type: *end})
	} else {
		e.Batch = batch(t, record.BuilderOptions{HasProducer: true, ProducerID: id, Transactional: true}, 1000, "of a transaction")
	}
	entries := []Entry{e}
	if _, err := l.Append(entries, 0, OriginCoordinator); err != nil || entries[0].Err != nil {
		t.Fatal(err, entries[0].Err)
	}
}

// Redpanda #7544, #28360: a log whose end is cut reads its producers anew, and meanwhile readers, who take no lock, see
// neither an older last stable offset nor one beyond a transaction that is open.
func TestTheLastStableOffsetStaysWhereItIsWhileALogIsCut(t *testing.T) {
	commit := record.CommitMarker
	l := mustOpen(t, mustOpenDir(t, vfs.NewMemory()), smallConfig())
	for id := range int64(20) {
		transact(t, l, id, nil)
		transact(t, l, id, &commit)
	}
	transact(t, l, 100, nil)
	want := l.LogEndOffset() - 1
	l.SetHighWatermark(l.LogEndOffset())
	if stable := l.LastStableOffset(); stable != want {
		t.Fatalf("the last stable offset is %d, want %d", stable, want)
	}
	var reader sync.WaitGroup
	ended := make(chan struct{})
	reader.Go(func() {
		for {
			if stable := l.LastStableOffset(); stable != want {
				t.Errorf("the last stable offset is %d while the log is cut, want %d", stable, want)
				return
			}
			select {
			case <-ended:
				return
			default:
			}
		}
	})
	for range 200 {
		appendValues(t, l, 0, "of no transaction")
		if err := l.TruncateTo(want + 1); err != nil {
			t.Fatal(err)
		}
	}
	close(ended)
	reader.Wait()
}
