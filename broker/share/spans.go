package share

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/share/delivery"
)

// span is a batch of what was read.
type span struct {
	delivery.Span
	begin, end    int // in the data
	producerID    int64
	transactional bool
	aborts        bool // the marker of an aborted transaction
}

func spansIn(data []byte) (spans []span, err error) {
	for rest := data; len(rest) > 0; {
		b, after, err := record.Split(rest)
		if err != nil {
			return nil, fmt.Errorf("split batch: %w", err)
		}
		a := b.Attributes()
		s := span{
			Span:  delivery.Span{First: b.BaseOffset(), Last: b.LastOffset(), Hidden: a.IsControl()},
			begin: len(data) - len(rest), end: len(data) - len(after),
			producerID: b.ProducerID(), transactional: a.IsTransactional(),
		}
		if a.IsControl() {
			marker, ok, err := record.ParseEndTxnMarker(b)
			s.aborts = err == nil && ok && marker.Type == record.AbortMarker
		}
		spans = append(spans, s)
		rest = after
	}
	return spans, nil
}

// hideAborted hides the batches of transactions that were aborted: those of a producer from the first offset of such a
// transaction to its marker.
func hideAborted(spans []span, aborted []log.AbortedTransaction) {
	aborted = slices.SortedFunc(slices.Values(aborted), func(a, b log.AbortedTransaction) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	open := map[int64]bool{}
	next := 0
	for i := range spans {
		s := &spans[i]
		for next < len(aborted) && aborted[next].FirstOffset <= s.Last {
			open[aborted[next].ProducerID] = true
			next++
		}
		switch {
		case s.aborts:
			delete(open, s.producerID)
		case s.transactional && open[s.producerID]:
			s.Hidden = true
		}
	}
}

func spansOf(spans []span) []delivery.Span {
	plain := make([]delivery.Span, len(spans))
	for i := range spans {
		plain[i] = spans[i].Span
	}
	return plain
}

// trim leaves the batches that hold [first, last].
func trim(data []byte, spans []span, first, last int64) []byte {
	begin, end := -1, 0
	for _, s := range spans {
		if s.Last >= first && s.First <= last {
			if begin < 0 {
				begin = s.begin
			}
			end = s.end
		}
	}
	if begin < 0 {
		return nil
	}
	return data[begin:end:end]
}

// divide cuts ranges at the ends of batches once they are as long as the client wants its own batches to be, so that it can
// acknowledge them one by one (KIP-1206).
func divide(acquired []delivery.Batch, spans []span, size int64) []delivery.Batch {
	if size <= 0 {
		return acquired
	}
	var cut []delivery.Batch
	for _, a := range acquired {
		for _, s := range spans {
			if s.Last >= a.First && s.Last < a.Last && s.Last-a.First+1 >= size {
				head := a
				head.Last = s.Last
				cut = append(cut, head)
				a.First = s.Last + 1
			}
		}
		cut = append(cut, a)
	}
	return cut
}
