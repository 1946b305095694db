package compact

import (
	"slices"

	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/record"
)

// transactions tells, walking over batches in offset order, which belong to an aborted transaction and which end
// markers are of no use any more.
type transactions struct {
	aborted []segment.AbortedTxn // by first offset; those not begun yet
	ongoing map[int64]bool       // producers inside an aborted transaction
	kept    map[int64]bool       // producers with a record kept since their last marker
}

func newTransactions(segments []*segment.Segment) (*transactions, error) {
	t := &transactions{ongoing: map[int64]bool{}, kept: map[int64]bool{}}
	for _, s := range segments {
		aborted, err := s.Aborted()
		if err != nil {
			return nil, err
		}
		t.aborted = append(t.aborted, aborted...)
	}
	slices.SortFunc(t.aborted, func(a, b segment.AbortedTxn) int { return int(a.FirstOffset - b.FirstOffset) })
	return t, nil
}

// inAborted is asked once for every batch, in order.
func (t *transactions) inAborted(b record.Batch) bool {
	for len(t.aborted) > 0 && t.aborted[0].FirstOffset <= b.LastOffset() {
		t.ongoing[t.aborted[0].ProducerID] = true
		t.aborted = t.aborted[1:]
	}
	if !b.Attributes().IsTransactional() {
		return false
	}
	if b.Attributes().IsControl() {
		delete(t.ongoing, b.ProducerID())
		return false
	}
	return t.ongoing[b.ProducerID()]
}

// keep notes that a record of the batch stays.
func (t *transactions) keep(b record.Batch) {
	if b.Attributes().IsTransactional() && !b.Attributes().IsControl() {
		t.kept[b.ProducerID()] = true
	}
}

// markerIdle says of an end marker that nothing of its transaction is left.
func (t *transactions) markerIdle(b record.Batch) bool {
	kept := t.kept[b.ProducerID()]
	delete(t.kept, b.ProducerID())
	return !kept
}
