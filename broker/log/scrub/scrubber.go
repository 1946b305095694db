package scrub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/log/segment"
)

// Settings may change while the scrubber runs.
type Settings struct {
	BytesPerSecond int64         // millrace.scrub.bytes.per.second; 0: nothing is read
	Interval       time.Duration // millrace.scrub.interval.ms: from the beginning of a pass to that of the next
}

// Config of a scrubber; its log directories are its own.
type Config struct {
	Dirs       []*log.Dir
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics
	Settings   Settings
	// Repair makes a damaged segment whole, or says why it cannot be; nil: nothing is repaired.
	Repair func(ctx context.Context, d Damage) error
}

// Validate reports every fault at once.
func (c *Config) Validate() error {
	if c.Logger == nil {
		return errors.New("scrubber: Logger must be set")
	}
	return nil
}

// Damage is a place on disk whose bytes are not what was written, the first one of its segment.
type Damage struct {
	Log     *log.Log
	Segment *segment.Segment
	Fault   *log.CorruptError
	Kept    error // why it was not repaired
}

// Scrubber reads logs from end to end, one after the other.
type Scrubber struct {
	cfg      Config
	settings atomic.Pointer[Settings]
	changed  chan struct{} // of settings; holds one
	buffer   []byte        // owned by the goroutine that scrubs

	readBytes, passes, found, mended prometheus.Counter

	mu      sync.Mutex
	damages map[*segment.Segment]Damage // guarded by mu
}

const chunkBytes = 256 << 10

// New checks the configuration; Run does the work.
func New(cfg Config) (*Scrubber, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Scrubber{cfg: cfg, changed: make(chan struct{}, 1), buffer: make([]byte, chunkBytes), damages: map[*segment.Segment]Damage{}}
	s.Configure(cfg.Settings)
	s.register()
	return s, nil
}

// Configure brings other settings.
func (s *Scrubber) Configure(settings Settings) {
	if old := s.settings.Swap(&settings); old != nil && *old == settings {
		return
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// startDelay is how long after a start the first pass may begin: there is other work to do.
const startDelay = 10 * time.Minute

// Run scrubs until ctx ends. The caller joins it before it closes the directories.
func (s *Scrubber) Run(ctx context.Context) {
	began := time.Now().Add(-max(s.settings.Load().Interval-startDelay, 0))
	for ctx.Err() == nil {
		settings := s.settings.Load()
		wait := time.Until(began.Add(settings.Interval))
		if settings.BytesPerSecond <= 0 {
			wait = time.Hour
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-s.changed:
		case <-timer.C:
			if settings.BytesPerSecond > 0 {
				began = time.Now()
				s.Pass(ctx)
			}
		}
		timer.Stop()
	}
}

// Pass looks at everything once.
func (s *Scrubber) Pass(ctx context.Context) {
	for _, dir := range s.cfg.Dirs {
		if dir.Err() != nil {
			continue
		}
		for _, l := range dir.Logs() {
			for _, one := range l.Sealed() {
				if ctx.Err() != nil || s.settings.Load().BytesPerSecond <= 0 {
					return
				}
				s.look(ctx, l, one)
			}
		}
	}
	s.passes.Inc()
}

// look checks one segment, and has it repaired where that is needed.
func (s *Scrubber) look(ctx context.Context, l *log.Log, one *segment.Segment) {
	err := s.verify(ctx, l, one)
	var fault *log.CorruptError
	if !errors.As(err, &fault) {
		if err == nil {
			s.forget(one)
		} else if ctx.Err() == nil && l.Holds(one) && l.Err() == nil && !errors.Is(err, errOff) {
			s.cfg.Logger.Warn("segment could not be scrubbed", "partition", l.TopicPartition().String(), "base_offset", one.BaseOffset(), "error", err)
		}
		return
	}
	if !l.Holds(one) || l.Err() != nil {
		return // it was removed under the reader
	}
	d := Damage{Log: l, Segment: one, Fault: fault}
	if s.note(d) {
		s.found.Inc()
		s.cfg.Logger.Error("bytes have changed on disk", "partition", l.TopicPartition().String(), "file", fault.File, "position", fault.Offset, "reason", fault.Reason)
	}
	if s.cfg.Repair == nil {
		return
	}
	if d.Kept = s.cfg.Repair(ctx, d); d.Kept != nil {
		s.note(d)
		s.cfg.Logger.Warn("damaged segment is not repaired", "partition", l.TopicPartition().String(), "base_offset", one.BaseOffset(), "error", d.Kept)
		return
	}
	s.forget(one)
	s.mended.Inc()
	s.cfg.Logger.Info("damaged segment was made whole", "partition", l.TopicPartition().String(), "base_offset", one.BaseOffset())
}

// verify reads a segment's batches.
func (s *Scrubber) verify(ctx context.Context, l *log.Log, one *segment.Segment) (err error) {
	next, end := one.BaseOffset(), one.NextOffset()
	s.buffer, err = one.Batches(0, one.SizeBytes(), s.buffer, func(sizeBytes int) error { return s.pay(ctx, sizeBytes) }, func(b batch, position int64) error {
		reason := ""
		switch {
		case b.BaseOffset() < next || b.NextOffset() > end:
			reason = fmt.Sprintf("offsets %d to %d do not follow, or are beyond %d", b.BaseOffset(), b.LastOffset(), end)
		case b.VerifyCRC() != nil:
			reason = "the batch's checksum is wrong"
		default: // which leaves the leader epoch out
			if epoch, known := l.EpochAt(b.BaseOffset()); known && epoch != b.PartitionLeaderEpoch() && b.BaseOffset() >= l.LogStartOffset() {
				reason = fmt.Sprintf("the batch is of leader epoch %d, and %d by the epochs of the log", b.PartitionLeaderEpoch(), epoch)
			}
		}
		if reason != "" {
			return &log.CorruptError{File: one.FileName(segment.LogSuffix), Offset: position, Reason: reason}
		}
		next = b.NextOffset()
		return nil
	})
	if len(s.buffer) > chunkBytes {
		s.buffer = make([]byte, chunkBytes)
	}
	return err
}

var errOff = errors.New("switched off amid a pass")

// pay waits as long as reading so many bytes may take.
func (s *Scrubber) pay(ctx context.Context, sizeBytes int) error {
	rate := s.settings.Load().BytesPerSecond
	if rate <= 0 {
		return errOff
	}
	timer := time.NewTimer(time.Duration(float64(sizeBytes) / float64(rate) * float64(time.Second)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		s.readBytes.Add(float64(sizeBytes))
		return nil
	}
}
