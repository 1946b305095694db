package compact

import (
	"github.com/millrace-io/millrace/broker/record"
)

// filter decides what stays of a batch. It is pure but for the memory it works with.
type filter struct {
	keys            *keyMap
	lastBatchEnd    int64 // next offset of the last batch of the round: it stays, so that the end of the log is known
	lastOffsets     map[int64]int64
	transactions    *transactions
	nowMillis       int64
	deleteRetention int64

	decompressor record.Decompressor
	codecs       *record.Codecs
	builder      record.Builder
}

// apply returns the batch as it is to be written: b itself when all of it stays, nil when nothing does.
func (f *filter) apply(b record.Batch) (record.Batch, error) {
	aborted := f.transactions.inAborted(b)
	if b.Attributes().IsControl() {
		return f.marker(b)
	}
	kept, tombstones, err := f.count(b, aborted)
	if err != nil {
		return nil, err
	}
	if kept > 0 {
		f.transactions.keep(b)
	}
	switch {
	case kept == 0 && !f.mustStay(b):
		return nil, nil
	case kept == int(b.Count()) && (tombstones == 0 || b.Attributes().HasDeleteHorizon()):
		return b, nil
	}
	return f.rebuild(b, aborted, tombstones > 0)
}

func (f *filter) mustStay(b record.Batch) bool {
	if b.NextOffset() == f.lastBatchEnd {
		return true
	}
	last, live := f.lastOffsets[b.ProducerID()]
	return b.ProducerID() != record.NoProducerID && live && last == b.LastOffset()
}

func (f *filter) count(b record.Batch, aborted bool) (kept, tombstones int, err error) {
	for r, err := range b.Records(&f.decompressor) {
		if err != nil {
			return 0, 0, err
		}
		if f.stays(b, &r, aborted) {
			kept++
			if r.Value == nil {
				tombstones++
			}
		}
	}
	return kept, tombstones, nil
}

// stays is the rule of compaction for one record.
func (f *filter) stays(b record.Batch, r *record.Record, aborted bool) bool {
	if aborted || r.Key == nil {
		return false
	}
	offset := b.BaseOffset() + int64(r.OffsetDelta)
	if offset < f.keys.get(r.Key) {
		return false // a later value is known
	}
	return r.Value != nil || !f.horizonPassed(b)
}

func (f *filter) horizonPassed(b record.Batch) bool {
	return b.Attributes().HasDeleteHorizon() && b.BaseTimestamp() <= f.nowMillis
}

// marker keeps an end marker until its delete horizon has passed and no record of its transaction is left.
func (f *filter) marker(b record.Batch) (record.Batch, error) {
	idle := f.transactions.markerIdle(b)
	last, live := f.lastOffsets[b.ProducerID()]
	switch {
	case !idle || b.Attributes().HasDeleteHorizon() && !f.horizonPassed(b):
		return b, nil
	case b.Attributes().HasDeleteHorizon():
		if b.NextOffset() == f.lastBatchEnd || live && last < 0 { // it holds the producer's last epoch
			return b, nil
		}
		return nil, nil
	}
	return f.rebuild(b, false, true)
}

// rebuild writes the batch anew with what stays; its offsets and sequences remain those of the whole batch.
func (f *filter) rebuild(b record.Batch, aborted, horizon bool) (record.Batch, error) {
	attributes := b.Attributes()
	opts := record.BuilderOptions{
		Codec: attributes.Codec(), BaseOffset: b.BaseOffset(), PartitionLeaderEpoch: b.PartitionLeaderEpoch(),
		TimestampType: attributes.TimestampType(), HasProducer: b.ProducerID() != record.NoProducerID,
		ProducerID: b.ProducerID(), ProducerEpoch: b.ProducerEpoch(), BaseSequence: b.BaseSequence(),
		Transactional: attributes.IsTransactional(), Control: attributes.IsControl(), Codecs: f.codecs,
	}
	switch {
	case attributes.HasDeleteHorizon():
		opts.HasDeleteHorizon, opts.DeleteHorizonMillis = true, b.BaseTimestamp()
	case horizon:
		opts.HasDeleteHorizon, opts.DeleteHorizonMillis = true, f.nowMillis+f.deleteRetention
	}
	f.builder.Reset(opts)
	for r, err := range b.Records(&f.decompressor) {
		if err != nil {
			return nil, err
		}
		if attributes.IsControl() || f.stays(b, &r, aborted) {
			f.builder.AppendAt(b.BaseOffset()+int64(r.OffsetDelta), r.TimestampMillis, r.Key, r.Value, r.Headers)
		}
	}
	f.builder.SetLastOffset(b.LastOffset())
	if f.builder.Count() == 0 || attributes.TimestampType() == record.LogAppendTime {
		f.builder.SetMaxTimestamp(b.MaxTimestamp())
	}
	return f.builder.Build()
}
