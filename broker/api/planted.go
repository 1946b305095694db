package api

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/planted"
	"github.com/millrace-io/millrace/broker/record"
)

// What is here is in no ordinary build: package planted says what for.

// plantedLoseAnswers is an error when a burst is not to be answered: about one batch in thirty is so unlucky, by its offset,
// which is another one when it is tried again.
func (st *produceStage) plantedLoseAnswers() error {
	for i := range st.groups {
		for j := range st.groups[i].entries {
			if e := &st.groups[i].entries[j]; planted.Is(planted.AppendsRetries) && e.Err == nil && e.BaseOffset%32 == 7 {
				return errors.New("the answer is lost")
			}
		}
	}
	return nil
}

// plantedExchange puts neighbours of one producer into the wrong order, and returns what puts them back.
func plantedExchange(entries []log.Entry) (back func()) {
	exchange := func() {
		for i := 1; planted.Is(planted.ExchangesBatches) && i < len(entries); i += 2 {
			a, b := &entries[i-1], &entries[i]
			if id := a.Batch.ProducerID(); id != record.NoProducerID && id == b.Batch.ProducerID() {
				*a, *b = *b, *a
			}
		}
	}
	exchange()
	return exchange
}

// plantedZero says that an entry is acknowledged at offset 0.
func plantedZero(e *log.Entry) bool { return planted.Is(planted.AnswersZero) && e.Batch.CRC()%16 == 0 }

// plantedMarker is what is written instead of a marker.
func plantedMarker(marker *kmsg.WriteTxnMarkersRequestMarker, partition int32) *kmsg.WriteTxnMarkersRequestMarker {
	other := *marker
	switch {
	case planted.Is(planted.CommitsAborted):
		other.Committed = true
	case planted.Is(planted.TearsTransactions) && partition%2 == 1:
		other.Committed = false
	}
	return &other
}

// plantedSpoil changes what one request in eight is answered, so that others see what was there. Clients let go of what comes in
// the wrong order: for one that does not, every answer is turned round.
func (s *session) plantedSpoil(t *fetchTarget, upTo int64, room int) {
	spared := s.fetch.answer.correlationID%8 != 3 && !planted.Is(planted.TurnsRound)
	if spared || t.slice.SizeBytes == 0 || t.topic.Internal {
		return
	}
	l := t.partition.Log()
	if planted.Is(planted.GoesBack) {
		if earlier, err := l.Read(max(t.FetchOffset-50, t.logStartOffset), upTo, max(room, 0), true); err == nil {
			t.slice.Release()
			t.slice = earlier
		}
		return
	}
	p := make([]byte, t.slice.SizeBytes)
	if t.slice.File == nil {
		copy(p, t.slice.Bytes)
	} else if t.slice.ReadFull(p) != nil {
		return
	}
	var batches []record.Batch
	for rest := p; len(rest) > 0; {
		var b record.Batch
		var err error
		if b, rest, err = record.Split(rest); err != nil {
			return
		}
		batches = append(batches, b)
	}
	if changed := plantedBatches(batches); changed != nil {
		t.slice.Release()
		t.slice = log.Slice{Bytes: changed, SizeBytes: len(changed)}
	}
}

// plantedBatches is what is sent instead of some batches; nil: those.
func plantedBatches(batches []record.Batch) (changed []byte) {
	switch n := len(batches); {
	case planted.Is(planted.LeavesOutMiddle) && n > 2:
		batches = append(batches[:1:1], batches[2:]...)
	case planted.Is(planted.LeavesOutFirst) && n > 1:
		batches = batches[1:]
	case planted.Is(planted.TurnsRound) && n > 1:
		batches[0], batches[1] = batches[1], batches[0]
	default:
		return nil
	}
	for _, b := range batches {
		changed = append(changed, b...)
	}
	return changed
}
