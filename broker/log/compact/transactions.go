package compact

import (
	"cmp"
	"slices"

	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/record"
)

// transactions tells, walking over batches in offset order, which belong to an aborted transaction and which end markers
// are of no use any more. Kafka: CleanedTransactionMetadata.
type transactions struct {
	aborted   []segment.AbortedTxn    // by first offset; those not begun yet
	ongoing   map[int64]*abortedBatch // by producer: the aborted transaction that it is in
	committed map[int64]bool          // producers with a batch of a committed transaction since their last marker
	kept      []segment.AbortedTxn    // whose markers came by and are needed
}

type abortedBatch struct {
	txn  segment.AbortedTxn
	seen bool // a batch of it came by
}

func newTransactions(aborted []segment.AbortedTxn) *transactions {
	t := &transactions{aborted: slices.Clone(aborted), ongoing: map[int64]*abortedBatch{}, committed: map[int64]bool{}}
	slices.SortFunc(t.aborted, func(a, b segment.AbortedTxn) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	return t
}

// data is told of every batch that is not a control batch. aborted: its records are not to be seen by anybody.
func (t *transactions) data(b record.Batch) (aborted bool) {
	t.begin(b.LastOffset())
	if !b.Attributes().IsTransactional() {
		return false
	}
	if a := t.ongoing[b.ProducerID()]; a != nil {
		if b.BaseOffset() < a.txn.LastOffset {
			a.seen = true
			return true
		}
		delete(t.ongoing, b.ProducerID()) // its marker is not there: this is another transaction
	}
	t.committed[b.ProducerID()] = true
	return false
}

// marker is told of every control batch. idle: no batch of its transaction is left, so that it may go after a while.
func (t *transactions) marker(b record.Batch) (idle bool, err error) {
	t.begin(b.LastOffset())
	if b.Count() == 0 {
		return true, nil // what Kafka leaves of a marker
	}
	marker, ok, err := record.ParseEndTxnMarker(b)
	if err != nil || !ok {
		return false, err
	}
	if marker.Type == record.CommitMarker {
		idle = !t.committed[b.ProducerID()]
		delete(t.committed, b.ProducerID())
		return idle, nil
	}
	a := t.ongoing[b.ProducerID()]
	delete(t.ongoing, b.ProducerID())
	if a == nil || !a.seen {
		return true, nil
	}
	t.kept = append(t.kept, a.txn)
	return false, nil
}

// begin takes in the aborted transactions that begin at or before offset.
func (t *transactions) begin(offset int64) {
	for len(t.aborted) > 0 && t.aborted[0].FirstOffset <= offset {
		txn := t.aborted[0]
		t.aborted = t.aborted[1:]
		if a := t.ongoing[txn.ProducerID]; a == nil || a.txn.LastOffset < txn.FirstOffset {
			t.ongoing[txn.ProducerID] = &abortedBatch{txn: txn}
		}
	}
}

// takeKept returns the aborted transactions that the segment with the markers just seen has to list. The others have no
// marker there any more: a reader who was told of one would take the producer's next transaction for aborted.
func (t *transactions) takeKept() []segment.AbortedTxn {
	kept := t.kept
	t.kept = nil
	return kept
}
