package compact

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/record"
)

// Config of a cleaner; its log directories are its own.
type Config struct {
	Dirs        []*log.Dir
	Logger      *slog.Logger
	Clock       func() time.Time
	Registerer  prometheus.Registerer // nil: no metrics
	Interval    time.Duration         // log.cleaner.backoff.ms; default 15 s
	KeyMapBytes int                   // log.cleaner.dedupe.buffer.size; allocated while a log is cleaned; default 32 MiB
}

// Validate reports every fault at once.
func (c *Config) Validate() error {
	var faults []error
	if c.Logger == nil || c.Clock == nil {
		faults = append(faults, errors.New("cleaner: Logger and Clock must be set"))
	}
	if c.Interval < 0 || c.KeyMapBytes < 0 {
		faults = append(faults, fmt.Errorf("cleaner: interval %v and key map size %d must not be negative", c.Interval, c.KeyMapBytes))
	}
	return errors.Join(faults...)
}

// Cleaner compacts the logs of its directories, one at a time, the dirtiest first.
type Cleaner struct {
	cfg     Config
	cleaned prometheus.Counter
	removed prometheus.Counter
}

// Result says what one round on one log did.
type Result struct {
	CleanedTo   int64 // everything below is compacted
	ReadBytes   int64
	WroteBytes  int64
	SegmentsOld int
	SegmentsNew int
}

// NewCleaner checks the configuration; Run does the work.
func NewCleaner(cfg Config) (*Cleaner, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Interval == 0 {
		cfg.Interval = 15 * time.Second
	}
	if cfg.KeyMapBytes == 0 {
		cfg.KeyMapBytes = 32 << 20
	}
	c := &Cleaner{
		cfg:     cfg,
		cleaned: prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_log_cleaner_rounds_total", Help: "Logs compacted."}),
		removed: prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_log_cleaner_removed_bytes_total", Help: "Bytes that compaction took out of logs."}),
	}
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(c.cleaned, c.removed)
	}
	return c, nil
}

// Run cleans until ctx ends. The caller joins it before it closes the directories.
func (c *Cleaner) Run(ctx context.Context) {
	tick := time.NewTicker(c.cfg.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.Round(ctx)
		}
	}
}

// Round cleans every log that is dirty enough.
func (c *Cleaner) Round(ctx context.Context) {
	for {
		l, cleanable := c.dirtiest()
		if l == nil || ctx.Err() != nil {
			return
		}
		if _, err := c.clean(ctx, l, cleanable); err != nil {
			if ctx.Err() == nil {
				c.cfg.Logger.Warn("log is not compacted", "partition", l.TopicPartition().String(), "error", err)
			}
			return
		}
	}
}

// dirtiest picks the next log: one that is overdue, else the one with the highest dirty ratio that its settings allow.
func (c *Cleaner) dirtiest() (best *log.Log, work log.Cleanable) {
	ratio := -1.0
	for _, d := range c.cfg.Dirs {
		if d.Err() != nil {
			continue
		}
		for _, l := range d.Logs() {
			cfg := l.Config()
			if !cfg.Compact || l.Err() != nil || l.LogEndOffset() == l.LogStartOffset() {
				continue
			}
			if err := l.MaybeRoll(); err != nil {
				continue // the log says so wherever it is used
			}
			cleanable, err := l.Cleanable()
			if err != nil || cleanable.DirtyBytes == 0 {
				continue
			}
			r := cleanable.DirtyRatio()
			if cleanable.Overdue {
				r = math.Inf(1)
			} else if r < cfg.MinCleanableDirtyRatio {
				continue
			}
			if r > ratio {
				best, work, ratio = l, cleanable, r
			}
		}
	}
	return best, work
}

// Clean compacts what can be compacted of one log now, however little it is.
func (c *Cleaner) Clean(ctx context.Context, l *log.Log) (Result, error) {
	cleanable, err := l.Cleanable()
	if err != nil || cleanable.DirtyBytes == 0 {
		return Result{CleanedTo: cleanable.FirstDirtyOffset}, err
	}
	return c.clean(ctx, l, cleanable)
}

func (c *Cleaner) clean(ctx context.Context, l *log.Log, work log.Cleanable) (Result, error) {
	r := &round{ctx: ctx, log: l, cfg: l.Config(), keys: newKeyMap(min(c.cfg.KeyMapBytes, keyMapFor(work.DirtyBytes)))}
	if err := r.mapKeys(work); err != nil {
		return r.result, l.Fail(err)
	}
	if err := r.rewrite(work, c.cfg.Clock()); err != nil {
		return r.result, l.Fail(err)
	}
	if err := l.SetCleaned(r.result.CleanedTo); err != nil {
		return r.result, err
	}
	c.cleaned.Inc()
	c.removed.Add(float64(max(0, r.result.ReadBytes-r.result.WroteBytes)))
	c.cfg.Logger.Info("log compacted", "partition", l.TopicPartition().String(), "cleaned_to", r.result.CleanedTo,
		"bytes_before", r.result.ReadBytes, "bytes_after", r.result.WroteBytes, "segments_before", r.result.SegmentsOld, "segments_after", r.result.SegmentsNew)
	return r.result, nil
}

// keyMapFor is enough memory for the keys of so many dirty bytes: a record takes at least 8 of them.
func keyMapFor(dirtyBytes int64) int {
	return int(min(dirtyBytes/8*slotBytes*2+slotBytes*32, math.MaxInt32))
}

// round is the cleaning of one log.
type round struct {
	ctx          context.Context
	log          *log.Log
	cfg          *log.Config
	keys         *keyMap
	mapEnd       int64
	result       Result
	decompressor record.Decompressor
	batch        []byte
}

// batches reads the batches of a segment whole.
func (r *round) batches(s *segment.Segment, visit func(b record.Batch) error) error {
	var fault error
	err := s.Headers(0, s.SizeBytes(), func(h segment.Header) bool {
		if fault = r.ctx.Err(); fault != nil {
			return false
		}
		b, err := s.ReadBatch(h, r.batch)
		if err != nil {
			fault = err
			return false
		}
		r.batch = b
		if err := b.VerifyCRC(); err != nil {
			fault = &segment.CorruptError{File: s.FileName(segment.LogSuffix), Offset: h.Position, Reason: err.Error()}
			return false
		}
		fault = visit(b)
		return fault == nil
	})
	return errors.Join(err, fault)
}

var errMapFull = errors.New("key map is full")

// mapKeys reads the dirty part. When the map is full the round ends before the batch that did not fit.
func (r *round) mapKeys(work log.Cleanable) error {
	r.mapEnd = work.EndOffset
	transactions, err := newTransactions(work.Segments)
	if err != nil {
		return err
	}
	for _, s := range work.Segments {
		if s.NextOffset() <= work.FirstDirtyOffset {
			continue
		}
		err := r.batches(s, func(b record.Batch) error {
			if transactions.inAborted(b) || b.Attributes().IsControl() || b.LastOffset() < work.FirstDirtyOffset {
				return nil
			}
			return r.mapBatch(b)
		})
		if errors.Is(err, errMapFull) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *round) mapBatch(b record.Batch) error {
	for record, err := range b.Records(&r.decompressor) {
		if err != nil {
			return err
		}
		offset := b.BaseOffset() + int64(record.OffsetDelta)
		if record.Key != nil && !r.keys.put(record.Key, offset) {
			r.mapEnd = offset
			return errMapFull
		}
	}
	return nil
}

// rewrite replaces the segments up to the end of the map, several small ones by one.
func (r *round) rewrite(work log.Cleanable, now time.Time) error {
	transactions, err := newTransactions(work.Segments)
	if err != nil {
		return err
	}
	f := &filter{
		keys: r.keys, lastOffsets: r.log.LastOffsets(), transactions: transactions, nowMillis: now.UnixMilli(),
		deleteRetention: r.cfg.DeleteRetentionMillis, lastBatchEnd: work.EndOffset,
	}
	r.result.CleanedTo = r.mapEnd
	for _, group := range r.groups(work.Segments) {
		if err := r.rewriteGroup(group, f); err != nil {
			return err
		}
	}
	return nil
}

// groups cuts the segments that hold anything below the end of the map into runs that fit one segment.
func (r *round) groups(segments []*segment.Segment) (groups [][]*segment.Segment) {
	size, base := int64(0), int64(0)
	for _, s := range segments {
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

func (r *round) rewriteGroup(group []*segment.Segment, f *filter) error {
	cleaned, err := r.log.NewCleaned(group[0].BaseOffset())
	if err != nil {
		return err
	}
	for _, s := range group {
		r.result.ReadBytes += s.SizeBytes()
		err := r.batches(s, func(b record.Batch) error {
			kept, err := f.apply(b)
			if err != nil || kept == nil {
				return err
			}
			return r.log.WriteCleaned(cleaned, kept, segment.Placed{
				LastOffset: kept.LastOffset(), MaxTimestampMillis: kept.MaxTimestamp(), SizeBytes: len(kept),
			})
		})
		if err != nil {
			return errors.Join(err, r.log.DropCleaned(cleaned))
		}
	}
	r.result.WroteBytes += cleaned.SizeBytes()
	r.result.SegmentsOld += len(group)
	r.result.SegmentsNew++
	err = r.log.FinishCleaned(group, cleaned)
	if errors.Is(err, log.ErrLogChanged) {
		err = errors.Join(err, r.log.DropCleaned(cleaned))
	}
	return err
}
