package coordinator

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/record"
)

// ledger is a list that takes part in transactions: it notes what is pending and how it ended as lines, too.
type ledger struct{ list }

// inTransaction writes lines in a transaction.
type inTransaction struct {
	by    Producer
	guard uint64
	lines []string
}

func (l *ledger) Step(event any, ticket Ticket, now time.Time) Result {
	e, ok := event.(inTransaction)
	if !ok {
		return l.list.Step(event, ticket, now)
	}
	r := Result{Transaction: &Transaction{e.by, e.guard}, Replies: []Reply{{Ticket: ticket, Response: "pending"}}}
	for _, line := range e.lines {
		r.Records = append(r.Records, Record{Key: []byte(line)})
	}
	return r
}

func (l *ledger) ReplayPending(by Producer, r Record) error {
	l.lines = append(l.lines, fmt.Sprintf("%s of %d/%d", r.Key, by.ID, by.Epoch))
	return nil
}

func (l *ledger) ReplayEnd(by Producer, committed bool) {
	l.lines = append(l.lines, fmt.Sprintf("end of %d/%d: %v", by.ID, by.Epoch, committed))
}

// ledgers is a world of ledgers.
func ledgers(t *testing.T) (w *world, shards *[]*ledger) {
	w, shards = newWorld(t, 1<<20), new([]*ledger)
	w.cfg.NewShard = func(int32) Shard {
		w.mu.Lock()
		defer w.mu.Unlock()
		*shards = append(*shards, &ledger{})
		return (*shards)[len(*shards)-1]
	}
	w.OnElection(0, 3)
	synctest.Wait()
	return w, shards
}

func (w *world) end(marker Marker) *asked { return w.ask(endTransaction{marker}) }

func (l *fakeLog) AppendTransactional(ctx context.Context, partition int32, b record.Batch, terms Terms, epoch int32) (int64, error) {
	end, err := l.Append(ctx, partition, b, epoch)
	if err == nil {
		l.set(func() { l.terms = append(l.terms, terms) })
	}
	return end, err
}

func TestAShardSeesTransactionsInTheOrderOfTheLogLiveAndAtLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, shards := ledgers(t)
		w.log.set(func() { w.log.blocking = make(chan struct{}) }) // all of these in one round
		w.ask("before")
		w.ask(inTransaction{Producer{7, 0}, 5, []string{"a", "b"}})
		w.ask("between")
		w.ask(inTransaction{Producer{8, 2}, 6, []string{"c"}})
		w.end(Marker{Producer: Producer{7, 1}, Committed: true, CoordinatorEpoch: 4, TransactionVersion: 2})
		w.ask(inTransaction{Producer{8, 2}, 0, []string{"d"}})
		last := w.end(Marker{Producer: Producer{8, 2}, CoordinatorEpoch: 4})
		blocking := w.log.blocking
		w.log.set(func() { w.log.blocking = nil })
		close(blocking)
		synctest.Wait()
		expect(t, "last", last, "<nil> <nil>")
		want := []string{"before", "a of 7/0", "b of 7/0", "between", "c of 8/2", "end of 7/1: true", "d of 8/2", "end of 8/2: false"}
		if live := (*shards)[0].lines; !slices.Equal(live, want) {
			t.Errorf("live %q, want %q", live, want)
		}
		terms := []Terms{{Guard: 5}, {Guard: 6}, {TransactionVersion: 2}, {}, {}}
		if !slices.Equal(w.log.terms, terms) {
			t.Errorf("terms %+v, want %+v", w.log.terms, terms)
		}
		if _, counts := w.log.counts(); !slices.Equal(counts, []int32{1, 2, 1, 1, 1, 1, 1}) {
			t.Errorf("records in batches: %v", counts)
		}
		w.OnElection(0, 4)
		synctest.Wait()
		if loaded := (*shards)[1].lines; !slices.Equal(loaded, want) {
			t.Errorf("loaded %q, want %q", loaded, want)
		}
	})
}

func TestAMarkerThatIsRefusedLeavesTheTransactionOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, shards := ledgers(t)
		w.ask(inTransaction{Producer{7, 0}, 5, []string{"a"}})
		w.log.set(func() { w.log.failing = fmt.Errorf("late: %w", kerr.InvalidProducerEpoch) })
		expect(t, "marker", w.end(Marker{Producer: Producer{7, 0}, Committed: true}), "<nil> "+kerr.InvalidProducerEpoch.Error())
		w.log.set(func() { w.log.failing = errDisk })
		expect(t, "marker", w.end(Marker{Producer: Producer{7, 0}, Committed: true}), "<nil> "+kerr.NotCoordinator.Error())
		if lines := (*shards)[0].lines; !slices.Equal(lines, []string{"a of 7/0"}) {
			t.Errorf("%q", lines)
		}
	})
}

func TestTheAnswerToAMarkerWaitsForItsCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := ledgers(t)
		w.log.set(func() { w.log.held = true })
		marker := w.end(Marker{Producer: Producer{7, 0}, Committed: true})
		expect(t, "held", marker, "waits")
		w.log.release(nil)
		synctest.Wait()
		expect(t, "released", marker, "<nil> <nil>")
	})
}
