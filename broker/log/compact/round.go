package compact

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/record"
)

// Result says what one round on one log did.
type Result struct {
	CleanedTo   int64 // everything below is compacted
	MapBytes    int64 // read for the map of keys
	ReadBytes   int64 // of the segments that were rewritten
	WroteBytes  int64
	SegmentsOld int
	SegmentsNew int
}

// round is the cleaning of one log by one goroutine.
type round struct {
	log    *log.Log
	cfg    *log.Config
	work   *log.Cleanable
	clock  func() time.Time
	codecs *record.Codecs
	limit  *throttle
	mine   *Settings
	tamper func(f *filter) // nil but in tests

	keys       *keyMap
	hashed     []hashedKey // of the batch at hand
	mapEnd     int64
	tombstones bool // in the part that the map covers
	result     Result
	buffer     []byte // of reads
	out        []byte // of writes
	progress   progress
}

// progress is read by whoever scrapes the metrics.
type progress struct {
	total int64 // bytes to read; fixed before the round begins
	done  atomic.Int64
}

// share is how much of the round is done, 0 to 1.
func (p *progress) share() float64 {
	if p.total == 0 {
		return 0
	}
	return min(float64(p.done.Load())/float64(p.total), 1)
}

func (r *round) run(ctx context.Context) error {
	r.buffer = make([]byte, r.mine.bufferBytes())
	r.keys = newKeyMap(r.work.FirstDirtyOffset, min(r.mine.perThread(r.mine.KeyMapBytes), math.MaxInt32), r.mine.LoadFactor)
	aborted, err := r.log.AbortedIn(r.work)
	if err == nil {
		err = r.mapKeys(ctx, newTransactions(aborted))
	}
	if err == nil {
		err = r.rewrite(ctx, newTransactions(aborted))
	}
	return err
}

// batches reads the batches of a segment whole and in order.
func (r *round) batches(ctx context.Context, s *segment.Segment, position int64, visit func(b record.Batch) error) (err error) {
	before := func(sizeBytes int) error {
		r.progress.done.Add(int64(sizeBytes))
		return r.limit.wait(ctx, sizeBytes)
	}
	r.buffer, err = s.Batches(position, s.SizeBytes(), r.buffer, before, func(b record.Batch, at int64) error {
		err := visit(b)
		var corrupt *record.CorruptError
		if errors.As(err, &corrupt) {
			return &segment.CorruptError{File: s.FileName(segment.LogSuffix), Offset: at, Reason: err.Error()}
		}
		return err
	})
	if size := r.mine.bufferBytes(); len(r.buffer) > size {
		r.buffer = make([]byte, size) // one huge batch does not hold its memory
	}
	return err
}

var errMapFull = errors.New("key map is full")

// mapKeys reads the dirty part. When the map is full, the round ends before the record that did not fit.
func (r *round) mapKeys(ctx context.Context, transactions *transactions) error {
	r.mapEnd = r.work.EndOffset
	for _, s := range r.work.Segments {
		if s.NextOffset() <= r.work.FirstDirtyOffset {
			continue
		}
		from, err := r.dirtyPosition(s)
		if err != nil {
			return err
		}
		r.result.MapBytes += s.SizeBytes() - from
		err = r.batches(ctx, s, from, func(b record.Batch) error { return r.mapBatch(b, transactions) })
		if errors.Is(err, errMapFull) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dirtyPosition is where the first batch lies that may reach into the dirty part.
func (r *round) dirtyPosition(s *segment.Segment) (int64, error) {
	if s.BaseOffset() >= r.work.FirstDirtyOffset {
		return 0, nil
	}
	place, ok, err := s.Find(r.work.FirstDirtyOffset)
	if err != nil || !ok {
		return 0, err
	}
	return place.Position, nil
}

func (r *round) mapBatch(b record.Batch, transactions *transactions) error {
	if err := b.VerifyCRC(); err != nil {
		return err
	}
	if b.Attributes().IsControl() {
		_, err := transactions.marker(b)
		return err
	}
	if transactions.data(b) {
		return nil
	}
	unpacked, err := r.codecs.Unpack(b, 0)
	if err != nil {
		return err
	}
	defer unpacked.Done()
	if err := r.hashKeys(b, unpacked.Payload); err != nil {
		return err
	}
	for i := range r.hashed {
		if k := &r.hashed[i]; !r.keys.put(k.key, k.offset) {
			r.mapEnd = k.offset
			return errMapFull
		}
	}
	return nil
}

type hashedKey struct {
	key    keyHash
	offset int64
}

// hashKeys prepares the keys of a batch for the map. They go there together, so that the processor can wait for several
// places of a large table at a time.
func (r *round) hashKeys(b record.Batch, payload []byte) error {
	entries, base := record.NewEntries(b, payload), b.BaseOffset()
	r.hashed = r.hashed[:0]
	var e record.Entry
	for {
		ok, err := entries.Next(&e)
		if !ok || err != nil {
			return err
		}
		offset := base + int64(e.OffsetDelta)
		if e.Key == nil || offset < r.work.FirstDirtyOffset {
			continue
		}
		r.hashed = append(r.hashed, hashedKey{r.keys.hash(e.Key), offset})
		r.tombstones = r.tombstones || !e.HasValue
	}
}

// rewrite replaces the segments up to the end of the map, several small ones by one.
func (r *round) rewrite(ctx context.Context, transactions *transactions) error {
	f := &filter{
		keys: r.keys, live: r.keys.live(), firstDirty: r.work.FirstDirtyOffset, mapEnd: r.mapEnd, lastBatchEnd: r.work.EndOffset,
		tombstones: r.tombstones, transactions: transactions, deleteRetentionMillis: r.cfg.DeleteRetentionMillis, codecs: r.codecs,
	}
	r.result.CleanedTo = r.mapEnd
	for _, group := range r.groups() {
		// Of each group anew: a round may last, and a tombstone's time counts from when what it deletes is gone.
		f.lastBatches, f.nowMillis = r.log.LastBatches(), r.clock().UnixMilli()
		if r.tamper != nil {
			r.tamper(f)
		}
		if err := r.rewriteGroup(ctx, group, f); err != nil {
			return err
		}
	}
	return nil
}

// groups cuts the segments that hold anything below the end of the map into runs that fit one segment.
func (r *round) groups() (groups [][]*segment.Segment) {
	size, base := int64(0), int64(0)
	for _, s := range r.work.Segments {
		if s.BaseOffset() >= r.mapEnd {
			break
		}
		if len(groups) == 0 || size+s.SizeBytes() > r.cfg.SegmentBytes || s.NextOffset()-base > math.MaxInt32 {
			groups = append(groups, nil)
			size, base = 0, s.BaseOffset()
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], s)
		size += s.SizeBytes()
	}
	return groups
}

func (r *round) rewriteGroup(ctx context.Context, group []*segment.Segment, f *filter) error {
	o := &output{log: r.log, base: group[0].BaseOffset(), limit: r.limit, size: r.mine.bufferBytes(), bytes: r.out[:0]}
	var err error
	if len(group) == 1 {
		o.source = group[0]
	} else {
		err = o.begin(ctx)
	}
	written := false
	if err == nil {
		err = r.fill(ctx, o, group, f)
	}
	if err == nil {
		written, err = o.finish(ctx, r.work, group, f.transactions.takeKept())
	}
	r.out = o.bytes
	switch {
	case err != nil && o.segment != nil && r.log.Dir().Err() == nil: // else what lies there is the next start's business
		return errors.Join(err, r.log.DropCleaned(o.segment))
	case err != nil || !written:
		return err
	}
	for _, s := range group {
		r.result.ReadBytes += s.SizeBytes()
	}
	r.result.WroteBytes += o.segment.SizeBytes()
	r.result.SegmentsOld += len(group)
	r.result.SegmentsNew++
	return nil
}

// fill hands the batches of the group through the filter.
func (r *round) fill(ctx context.Context, o *output, group []*segment.Segment, f *filter) error {
	for _, s := range group {
		err := r.batches(ctx, s, 0, func(b record.Batch) error {
			if !f.mapped(b) { // the others have just been verified
				if err := b.VerifyCRC(); err != nil {
					return err
				}
			}
			at := len(o.bytes)
			var err error
			if o.bytes, err = f.apply(o.bytes, b); err != nil {
				return err
			}
			return o.added(ctx, at, b)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
