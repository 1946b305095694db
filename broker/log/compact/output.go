package compact

import (
	"context"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/record"
)

// output gathers batches for the segment that is to take the place of others.
type output struct {
	log     *log.Log
	segment *segment.Segment
	limit   *throttle
	size    int    // how much is gathered before it is written
	bytes   []byte // batches back to back
	placed  []segment.Placed
}

// added takes in the batch that lies in bytes from position on; there is none when nothing lies there.
func (o *output) added(ctx context.Context, position int) error {
	if len(o.bytes) == position {
		return nil
	}
	b := record.Batch(o.bytes[position:])
	o.placed = append(o.placed, segment.Placed{LastOffset: b.LastOffset(), MaxTimestampMillis: b.MaxTimestamp(), SizeBytes: len(b)})
	if len(o.bytes) < o.size {
		return nil
	}
	return o.flush(ctx)
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
