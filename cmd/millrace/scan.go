package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// errStop ends a scan from inside its handler, without being a failure.
var errStop = errors.New("stop")

// idleCheck is how long a bounded scan waits in silence before it asks whether the rest of its windows holds no records:
// the tail of a compacted log can be offsets without a record.
const idleCheck = 3 * time.Second

// scan reads windows and hands every data record in them to handle, in the order of each partition.
type scan struct {
	client *kgo.Client
	handle func(*kgo.Record) error
	flush  func() error // called when everything that arrived was handled
	// idle is how long to wait for a record before the scan gives up with errIdle; 0 waits for ever.
	idle time.Duration
	// warn tells a person about something that does not stop the scan.
	warn func(format string, args ...any)

	pending map[topicPartition]*window // windows that are not done; owned by run
	endless bool
}

type topicPartition struct {
	topic     string
	partition int32
}

// errIdle says that no record came in the time that was allowed.
var errIdle = errors.New("no record in time")

// run returns nil when all windows are read, errStop or errIdle when it ended before that, or what went wrong.
func (s *scan) run(ctx context.Context, windows []window) error {
	s.begin(windows)
	lastRecord := time.Now()
	for len(s.pending) > 0 {
		fetches := s.poll(ctx, lastRecord)
		if ctx.Err() != nil {
			return errors.Join(errStop, s.flush())
		}
		if err := s.check(fetches); err != nil {
			return errors.Join(err, s.flush())
		}
		if !fetches.Empty() {
			lastRecord = time.Now()
		}
		err := s.handleAll(fetches)
		if flushErr := s.flush(); err == nil {
			err = flushErr
		}
		if err != nil {
			return err
		}
		silent := time.Since(lastRecord)
		if s.idle > 0 && silent >= s.idle {
			return errIdle
		}
		if !s.endless && silent >= idleCheck {
			if s.leadersAnswer(ctx) {
				return nil
			}
			lastRecord = time.Now()
		}
	}
	return nil
}

// begin asks the client to fetch every window that is not empty.
func (s *scan) begin(windows []window) {
	s.pending = map[topicPartition]*window{}
	offsets := map[string]map[int32]kgo.Offset{}
	for i := range windows {
		w := &windows[i]
		if w.bounded && w.from >= w.until {
			continue
		}
		s.endless = s.endless || !w.bounded
		s.pending[topicPartition{w.topic, w.partition}] = w
		if offsets[w.topic] == nil {
			offsets[w.topic] = map[int32]kgo.Offset{}
		}
		offsets[w.topic][w.partition] = kgo.NewOffset().At(w.from)
	}
	s.client.AddConsumePartitions(offsets)
}

func (s *scan) poll(ctx context.Context, lastRecord time.Time) kgo.Fetches {
	wait := time.Duration(0)
	if !s.endless {
		wait = idleCheck
	}
	if s.idle > 0 && (wait == 0 || s.idle < wait) {
		wait = s.idle
	}
	if wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, lastRecord.Add(wait))
		defer cancel()
	}
	return s.client.PollRecords(ctx, 10_000)
}

// check returns the first error that reading on will not cure.
func (s *scan) check(fetches kgo.Fetches) error {
	for _, e := range fetches.Errors() {
		var lost *kgo.ErrDataLoss
		switch {
		case errors.Is(e.Err, context.DeadlineExceeded), errors.Is(e.Err, context.Canceled):
		case errors.As(e.Err, &lost):
			s.warn("%s partition %d: records were lost: the log ends before offset %d", e.Topic, e.Partition, lost.ConsumedTo)
		case kerr.IsRetriable(e.Err) && !errors.Is(e.Err, kerr.UnknownTopicOrPartition):
			s.warn("%s partition %d: %v, trying again", e.Topic, e.Partition, e.Err)
		default:
			return fmt.Errorf("consume %s partition %d: %w", e.Topic, e.Partition, e.Err)
		}
	}
	return nil
}

// handleAll hands on the records and marks windows done. Control records only move the position.
func (s *scan) handleAll(fetches kgo.Fetches) error {
	for it := fetches.RecordIter(); !it.Done(); {
		r := it.Next()
		tp := topicPartition{r.Topic, r.Partition}
		w := s.pending[tp]
		if w == nil {
			continue
		}
		inside := !w.bounded || r.Offset < w.until
		if inside && !r.Attrs.IsControl() {
			if err := s.handle(r); err != nil {
				return err
			}
		}
		if w.bounded && r.Offset >= w.until-1 {
			delete(s.pending, tp)
			s.client.PauseFetchPartitions(map[string][]int32{r.Topic: {r.Partition}})
		}
	}
	return nil
}

// leadersAnswer tells silence of an empty tail from silence of a broker that is gone.
func (s *scan) leadersAnswer(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, idleCheck)
	defer cancel()
	waiting := map[string][]int32{}
	for tp := range s.pending {
		waiting[tp.topic] = append(waiting[tp.topic], tp.partition)
	}
	ends := partitionOffsets(ctx, s.client, waiting, latestOffset, false)
	for tp := range s.pending {
		if end, ok := ends.Lookup(tp.topic, tp.partition); !ok || end.Err != nil {
			return false
		}
	}
	return true
}
