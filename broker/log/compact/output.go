package compact

import (
	"bytes"
	"context"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/record"
)

// output gathers batches for the segment that is to take the place of others. Where that is one segment, nothing is made or
// written until something in it changes: a part of the log that is clean stays as it is on disk.
type output struct {
	log     *log.Log
	base    int64
	segment *segment.Segment // nil: not made yet
	limit   *throttle
	size    int    // how much is gathered before it is written
	bytes   []byte // batches back to back
	placed  []segment.Placed

	source *segment.Segment // not nil: so far all is as it is there, up to same
	same   int64
}

// added takes in what lies in bytes from position on: what is left of b, which may be nothing.
func (o *output) added(ctx context.Context, position int, b record.Batch) error {
	if o.source != nil {
		if bytes.Equal(o.bytes[position:], b) {
			o.bytes = o.bytes[:position]
			o.same += int64(len(b))
			return nil
		}
		if err := o.begin(ctx); err != nil {
			return err
		}
	}
	if len(o.bytes) == position {
		return nil
	}
	o.place(record.Batch(o.bytes[position:]))
	if len(o.bytes) < o.size {
		return nil
	}
	return o.flush(ctx)
}

func (o *output) place(b record.Batch) {
	o.placed = append(o.placed, segment.Placed{LastOffset: b.LastOffset(), MaxTimestampMillis: b.MaxTimestamp(), SizeBytes: len(b)})
}

// begin makes the segment, and copies what was the same so far.
func (o *output) begin(ctx context.Context) (err error) {
	if o.segment, err = o.log.NewCleaned(o.base); err != nil || o.source == nil {
		return err
	}
	source, gathered := o.source, o.bytes
	o.source, o.bytes = nil, make([]byte, 0, o.size)
	_, err = source.Batches(0, o.same, make([]byte, o.size), func(n int) error { return o.limit.wait(ctx, n) }, func(b record.Batch, _ int64) error {
		o.bytes = append(o.bytes, b...)
		o.place(b)
		if len(o.bytes) < o.size {
			return nil
		}
		return o.flush(ctx)
	})
	if err == nil {
		err = o.flush(ctx)
	}
	o.bytes = gathered
	return err
}

func (o *output) flush(ctx context.Context) error {
	if len(o.bytes) == 0 {
		return nil
	}
	if err := o.log.WriteCleaned(o.segment, o.bytes, o.placed); err != nil {
		return err
	}
	n := len(o.bytes)
	o.bytes, o.placed = o.bytes[:0], o.placed[:0]
	return o.limit.wait(ctx, n)
}

// finish puts the output in the place of old. kept are the aborted transactions that readers have to know of. written is
// false when old stays, which is as it should be.
func (o *output) finish(ctx context.Context, work *log.Cleanable, old []*segment.Segment, kept []segment.AbortedTxn) (written bool, err error) {
	if o.source != nil {
		before, err := o.source.Aborted()
		if err != nil || len(before) == len(kept) { // kept is part of before
			return false, err
		}
		if err := o.begin(ctx); err != nil {
			return false, err
		}
	}
	if err := o.flush(ctx); err != nil {
		return false, err
	}
	return true, o.log.FinishCleaned(work, old, o.segment, kept)
}
