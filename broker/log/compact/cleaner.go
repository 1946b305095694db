package compact

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/record"
)

// Config of a cleaner; its log directories are its own.
type Config struct {
	Dirs       []*log.Dir
	Logger     *slog.Logger
	Clock      func() time.Time
	Registerer prometheus.Registerer // nil: no metrics
	Settings   Settings              // until Configure brings others
}

// Validate reports every fault at once.
func (c *Config) Validate() error {
	var fault error
	if c.Logger == nil || c.Clock == nil {
		fault = errors.New("cleaner: Logger and Clock must be set")
	}
	return errors.Join(fault, c.Settings.Validate())
}

// Cleaner compacts the logs of its directories, the dirtiest first, several at a time where settings say so.
type Cleaner struct {
	cfg      Config
	codecs   record.Codecs
	limit    throttle
	metrics  *metrics // fixed after NewCleaner
	settings atomic.Pointer[Settings]
	changed  chan struct{} // of settings; holds one

	tamper func(f *filter) // plants a bug, for the test of the tests; nil

	choosing sync.Mutex // one thread looks for a log at a time; comes before mu
	mu       sync.Mutex
	states   states // guarded by mu
}

// NewCleaner checks the configuration; Run does the work.
func NewCleaner(cfg Config) (*Cleaner, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Cleaner{cfg: cfg, changed: make(chan struct{}, 1), states: newStates(cfg.Clock())}
	c.Configure(cfg.Settings)
	c.metrics = newMetrics(c, cfg.Registerer)
	return c, nil
}

// Configure brings other settings, which must be valid; a log that is being cleaned is finished with the old ones, but for
// the bound on bytes per second.
func (c *Cleaner) Configure(settings Settings) {
	s := settings.withDefaults()
	if old := c.settings.Swap(s); old != nil && *old == *s {
		return
	}
	c.limit.setRate(s.MaxBytesPerSecond)
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// Run cleans until ctx ends. The caller joins it before it closes the directories.
func (c *Cleaner) Run(ctx context.Context) {
	var threads sync.WaitGroup
	var stops []context.CancelFunc
	for {
		want := c.settings.Load().Threads
		for len(stops) < want {
			one, stop := context.WithCancel(ctx)
			stops = append(stops, stop)
			threads.Go(func() { c.thread(one) })
		}
		for len(stops) > want {
			stops[len(stops)-1]()
			stops = stops[:len(stops)-1]
		}
		select {
		case <-c.changed:
		case <-ctx.Done():
			for _, stop := range stops {
				stop()
			}
			threads.Wait()
			return
		}
	}
}

func (c *Cleaner) thread(ctx context.Context) {
	for pause(ctx, c.settings.Load().Backoff) == nil {
		c.Round(ctx)
	}
}

// Round cleans every log that is dirty enough and that nobody else is at.
func (c *Cleaner) Round(ctx context.Context) {
	for ctx.Err() == nil {
		l, work := c.take()
		if l == nil {
			return
		}
		_, err := c.clean(ctx, l, &work)
		c.give(ctx, l, err)
	}
}

// Clean compacts what can be compacted of one log now, however little it is.
func (c *Cleaner) Clean(ctx context.Context, l *log.Log) (Result, error) {
	work, err := l.Cleanable()
	if err != nil || work.DirtyBytes == 0 {
		return Result{CleanedTo: work.FirstDirtyOffset}, err
	}
	result, err := c.clean(ctx, l, &work)
	c.give(ctx, l, err)
	return result, err
}

func (c *Cleaner) clean(ctx context.Context, l *log.Log, work *log.Cleanable) (Result, error) {
	if !l.BeginRewrite() {
		return Result{}, log.ErrLogChanged
	}
	defer l.EndRewrite()
	r := &round{log: l, cfg: l.Config(), work: work, clock: c.cfg.Clock, codecs: &c.codecs, limit: &c.limit, mine: c.settings.Load(), tamper: c.tamper}
	r.progress.total = work.CleanBytes + 2*work.DirtyBytes
	began := time.Now()
	c.begins(l, &r.progress)
	err := r.run(ctx)
	if err == nil {
		err = l.SetCleaned(work, r.result.CleanedTo)
	}
	c.metrics.ended(r, time.Since(began), err)
	if err != nil {
		return r.result, err
	}
	c.cfg.Logger.Info("log compacted", "partition", l.TopicPartition().String(), "cleaned_to", r.result.CleanedTo,
		"bytes_before", r.result.ReadBytes, "bytes_after", r.result.WroteBytes, "segments_before", r.result.SegmentsOld, "segments_after", r.result.SegmentsNew)
	return r.result, nil
}
