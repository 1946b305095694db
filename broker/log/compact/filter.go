package compact

import (
	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/record"
)

// filter decides what stays of a batch. It is pure but for the memory it works with. Batches come in offset order.
type filter struct {
	keys *keyMap
	// live are the offsets of the dirty part that are the last of their keys; those that were passed are cut off.
	live         []int64
	firstDirty   int64 // below, a record stays unless the map knows its key
	mapEnd       int64 // from here on everything stays
	lastBatchEnd int64 // next offset of the last batch of the round: it stays, so that the end is known (Kafka does so)
	tombstones   bool  // there are some in the dirty part
	lastBatches  map[int64]log.LastBatch
	transactions *transactions

	nowMillis             int64
	deleteRetentionMillis int64

	codecs  *record.Codecs
	scratch []byte // records that stay
}

// apply appends to dst what stays of b: b itself when that is all of it.
func (f *filter) apply(dst []byte, b record.Batch) ([]byte, error) {
	if b.Attributes().IsControl() {
		idle, err := f.transactions.marker(b)
		if err != nil {
			return dst, err
		}
		return f.marker(dst, b, idle)
	}
	if f.transactions.data(b) {
		return f.empty(dst, b)
	}
	f.pass(b.BaseOffset())
	if f.mapped(b) {
		switch n := f.liveUpTo(b.LastOffset()); {
		case n == 0:
			return f.empty(dst, b)
		case n == int(b.Count()) && !f.tombstones:
			return append(dst, b...), nil
		}
	} else if b.BaseOffset() >= f.mapEnd {
		return append(dst, b...), nil
	}
	return f.records(dst, b)
}

// mapped says that all keys of the batch went into the map: then no key need be looked at again.
func (f *filter) mapped(b record.Batch) bool {
	return b.BaseOffset() >= f.firstDirty && b.LastOffset() < f.mapEnd
}

// pass forgets the live offsets below offset.
func (f *filter) pass(offset int64) {
	for len(f.live) > 0 && f.live[0] < offset {
		f.live = f.live[1:]
	}
}

func (f *filter) liveUpTo(offset int64) (n int) {
	for n < len(f.live) && f.live[n] <= offset {
		n++
	}
	return n
}

// records looks at each record of a batch.
func (f *filter) records(dst []byte, b record.Batch) ([]byte, error) {
	unpacked, err := f.codecs.Unpack(b, 0)
	if err != nil {
		return dst, err
	}
	defer unpacked.Done()
	left, dropped, tombstone, err := f.sift(b, unpacked.Payload)
	if err != nil {
		return dst, err
	}
	// Tombstones behind the end of the map get their horizon later: what they delete is still there.
	horizon := tombstone && !b.Attributes().HasDeleteHorizon() && b.LastOffset() < f.mapEnd
	switch {
	case left.Count == 0:
		return f.empty(dst, b)
	case !dropped && !horizon:
		return append(dst, b...), nil
	case !dropped:
		left.Records = unpacked.Payload
	}
	left.HasDeleteHorizon, left.DeleteHorizonMillis = horizon, f.nowMillis+f.deleteRetentionMillis
	return f.codecs.AppendRemains(dst, b, left)
}

// sift copies the records that stay, in runs; when none is dropped it copies nothing.
func (f *filter) sift(b record.Batch, payload []byte) (left record.Remains, dropped, tombstone bool, err error) {
	left.MaxTimestampMillis = record.NoTimestamp
	base, baseTimestamp, passed := b.BaseOffset(), b.BaseTimestamp(), f.horizonPassed(b)
	kept, run := f.scratch[:0], 0
	entries := record.NewEntries(b, payload)
	var e record.Entry
	for {
		at := entries.Position()
		ok, err := entries.Next(&e)
		if err != nil {
			return left, dropped, tombstone, err
		}
		if !ok {
			break
		}
		offset := base + int64(e.OffsetDelta)
		if !f.stays(offset, &e) || (!e.HasValue && passed && offset < f.mapEnd) {
			kept = append(kept, payload[run:at]...)
			run, dropped = entries.Position(), true
			continue
		}
		left.Count++
		left.MaxTimestampMillis = max(left.MaxTimestampMillis, baseTimestamp+e.TimestampDelta)
		tombstone = tombstone || !e.HasValue
	}
	if dropped {
		kept = append(kept, payload[run:]...)
	}
	f.scratch, left.Records = kept, kept
	return left, dropped, tombstone, nil
}

// stays says that the record is the last one of its key, as far as the map knows.
func (f *filter) stays(offset int64, e *record.Entry) bool {
	switch {
	case offset >= f.mapEnd:
		return true
	case e.Key == nil:
		return false
	case offset < f.firstDirty:
		return !f.keys.has(e.Key)
	}
	f.pass(offset)
	return len(f.live) > 0 && f.live[0] == offset
}

func (f *filter) horizonPassed(b record.Batch) bool {
	return b.Attributes().HasDeleteHorizon() && b.BaseTimestamp() <= f.nowMillis
}

// empty keeps the header of a batch without records, where that is needed.
func (f *filter) empty(dst []byte, b record.Batch) ([]byte, error) {
	if !f.mustStay(b) {
		return dst, nil
	}
	return f.codecs.AppendRemains(dst, b, record.Remains{})
}

// mustStay says that the batch stays, be it empty: it is the last trace of a live producer, or of the round.
func (f *filter) mustStay(b record.Batch) bool {
	if b.NextOffset() == f.lastBatchEnd {
		return true
	}
	last, live := f.lastBatches[b.ProducerID()]
	switch {
	case !live || b.ProducerID() == record.NoProducerID:
		return false
	case last.Offset >= 0:
		return last.Committed < 0 || b.LastOffset() == last.Committed || b.LastOffset() == last.Offset
	}
	return b.Attributes().IsControl() && b.ProducerEpoch() == last.Epoch
}

// marker keeps an end marker until its delete horizon has passed and no batch of its transaction is left. One that holds a
// producer's last epoch stays whole; Kafka keeps an empty batch, which a recovery learns nothing from.
func (f *filter) marker(dst []byte, b record.Batch, idle bool) ([]byte, error) {
	gone := idle && (f.horizonPassed(b) || b.Count() == 0)
	switch {
	case gone && !f.mustStay(b):
		return dst, nil
	case !idle || gone || b.Attributes().HasDeleteHorizon():
		return append(dst, b...), nil
	}
	unpacked, err := f.codecs.Unpack(b, 0)
	if err != nil {
		return dst, err
	}
	defer unpacked.Done()
	return f.codecs.AppendRemains(dst, b, record.Remains{
		Records: unpacked.Payload, Count: b.Count(), MaxTimestampMillis: b.MaxTimestamp(),
		HasDeleteHorizon: true, DeleteHorizonMillis: f.nowMillis + f.deleteRetentionMillis,
	})
}
