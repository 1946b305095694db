package compact

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/millrace-io/millrace/broker/log"
)

// states is what a cleaner knows of logs beyond what they say themselves.
type states struct {
	busy        map[*log.Log]*progress
	resting     map[*log.Log]time.Time // a cleaning failed; until then
	uncleanable map[*log.Log]error     // until the log is another one, or the process
	dirtyRatio  float64                // of the dirtiest log, when last looked
	delayMillis int64                  // of the log that is furthest behind max.compaction.lag.ms
	lookedAt    time.Time              // for a log to clean
}

func newStates(now time.Time) states {
	return states{busy: map[*log.Log]*progress{}, resting: map[*log.Log]time.Time{}, uncleanable: map[*log.Log]error{}, lookedAt: now}
}

// Uncleanable is a log that the cleaner has given up.
type Uncleanable struct {
	Log    *log.Log
	Reason error
}

// Uncleanable lists the logs that are not compacted any more, by name: corrupt ones, mostly. They serve clients as before.
func (c *Cleaner) Uncleanable() []Uncleanable {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.states.forgetClosed()
	list := make([]Uncleanable, 0, len(c.states.uncleanable))
	for l, reason := range c.states.uncleanable {
		list = append(list, Uncleanable{l, reason})
	}
	slices.SortFunc(list, func(a, b Uncleanable) int {
		return cmp.Compare(a.Log.TopicPartition().String(), b.Log.TopicPartition().String())
	})
	return list
}

func (s *states) forgetClosed() {
	for l := range s.uncleanable {
		if errors.Is(l.Err(), log.ErrClosed) {
			delete(s.uncleanable, l)
		}
	}
	for l := range s.resting {
		if errors.Is(l.Err(), log.ErrClosed) {
			delete(s.resting, l)
		}
	}
}

// take picks the next log and keeps other threads from it until give: one that is overdue, else the one with the highest
// dirty ratio that its settings allow (LogCleanerManager.grabFilthiestCompactedLog). nil: there is none.
func (c *Cleaner) take() (best *log.Log, work log.Cleanable) {
	c.choosing.Lock() // and not mu, which nobody holds while he waits for a disk
	defer c.choosing.Unlock()
	now := c.cfg.Clock()
	seen := states{lookedAt: now}
	bestRatio := -1.0
	for _, d := range c.cfg.Dirs {
		if d.Err() != nil {
			continue
		}
		for _, l := range d.Logs() {
			if !c.mayClean(l, now) {
				continue
			}
			cleanable, err := l.Cleanable()
			if err != nil || cleanable.DirtyBytes == 0 {
				continue // the log says so wherever it is used
			}
			ratio := cleanable.DirtyRatio()
			seen.dirtyRatio, seen.delayMillis = max(seen.dirtyRatio, ratio), max(seen.delayMillis, cleanable.DelayMillis)
			if cleanable.DelayMillis > 0 {
				ratio += math.MaxInt32 // before those that are dirty only
			} else if ratio <= l.Config().MinCleanableDirtyRatio {
				continue
			}
			if ratio > bestRatio {
				best, work, bestRatio = l, cleanable, ratio
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.states
	s.forgetClosed()
	s.dirtyRatio, s.delayMillis, s.lookedAt = seen.dirtyRatio, seen.delayMillis, now
	if best != nil {
		s.busy[best] = &progress{}
	}
	return best, work
}

// mayClean also rolls the log where it is time, so that one that nobody writes to any more is compacted to its end.
func (c *Cleaner) mayClean(l *log.Log, now time.Time) bool {
	if !l.Config().Compact || l.Err() != nil || l.LogEndOffset() == l.LogStartOffset() {
		return false
	}
	c.mu.Lock()
	s := &c.states
	passedOver := s.busy[l] != nil || s.uncleanable[l] != nil || now.Before(s.resting[l])
	c.mu.Unlock()
	return !passedOver && l.MaybeRoll() == nil
}

// give ends what take began. A log that could not be cleaned rests; one that never can be is given up, and the others go
// on.
func (c *Cleaner) give(ctx context.Context, l *log.Log, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.states.busy, l)
	delete(c.states.resting, l)
	if err == nil || ctx.Err() != nil {
		return
	}
	partition := l.TopicPartition().String()
	c.states.resting[l] = c.cfg.Clock().Add(c.settings.Load().Backoff)
	switch {
	case errors.Is(err, log.ErrLogChanged) || l.Err() != nil:
		c.cfg.Logger.Info("compaction given up for now", "partition", partition, "reason", err)
	case errors.Is(err, log.ErrNoSpace):
		c.cfg.Logger.Warn("log is not compacted", "partition", partition, "error", err)
	default:
		c.states.uncleanable[l] = err
		c.cfg.Logger.Error("log cannot be compacted until the broker is started again", "partition", partition, "error", err)
	}
}
