package log

import (
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// keeperTick is how often the keeper looks whether something is due.
const keeperTick = time.Second

// keeper does what a directory needs from time to time, in one goroutine: checkpoints, late deletions, flush.ms, the
// expiry of idle producers, whether a full disk has room again.
type keeper struct {
	dir  *Dir
	soon chan struct{} // capacity 1: checkpoint now
	quit chan struct{}
	done chan struct{}

	mu     sync.Mutex
	doomed []doomed // guarded by mu

	nextCheckpoint time.Time   // owned by the goroutine
	nextExpiry     time.Time   // owned by the goroutine
	flushTimes     atomic.Bool // some log has flush.ms set
}

type doomed struct {
	due    time.Time
	remove func() error
}

func startKeeper(d *Dir) *keeper {
	k := &keeper{dir: d, soon: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
	now := time.Now()
	k.nextCheckpoint = now.Add(d.cfg.CheckpointInterval)
	k.nextExpiry = now.Add(d.cfg.ProducerCheckInterval)
	go k.run()
	return k
}

func (k *keeper) stop() {
	close(k.quit)
	<-k.done
}

func (k *keeper) checkpointSoon() {
	select {
	case k.soon <- struct{}{}:
	default:
	}
}

// later schedules a removal.
func (k *keeper) later(delay time.Duration, remove func() error) {
	k.mu.Lock()
	k.doomed = append(k.doomed, doomed{time.Now().Add(delay), remove})
	k.mu.Unlock()
}

// watchFlushTimes says that some log has flush.ms set.
func (k *keeper) watchFlushTimes() { k.flushTimes.Store(true) }

func (k *keeper) run() {
	defer close(k.done)
	tick := time.NewTicker(keeperTick)
	defer tick.Stop()
	for {
		select {
		case <-k.quit:
			return
		case <-k.soon:
			k.checkpoint()
		case now := <-tick.C:
			k.onTick(now)
		}
	}
}

func (k *keeper) onTick(now time.Time) {
	if k.dir.Err() != nil {
		return
	}
	k.removeDue(now)
	k.dir.lookForRoom(now)
	if !now.Before(k.nextCheckpoint) {
		k.nextCheckpoint = now.Add(k.dir.cfg.CheckpointInterval)
		k.checkpoint()
	}
	if k.flushTimes.Load() {
		k.flushByTime()
	}
	if !now.Before(k.nextExpiry) {
		k.nextExpiry = now.Add(k.dir.cfg.ProducerCheckInterval)
		for _, l := range k.dir.openLogs() {
			l.removeExpiredProducers()
		}
	}
}

func (k *keeper) checkpoint() {
	if err := k.dir.Checkpoint(); err != nil {
		k.dir.logger.Warn("checkpoint failed", "error", err)
	}
}

func (k *keeper) flushByTime() {
	now := k.dir.cfg.Clock()
	for _, l := range k.dir.openLogs() {
		if l.flushDue(now) {
			l.RequestFlush()
		}
	}
}

func (k *keeper) removeDue(now time.Time) {
	k.mu.Lock()
	var due []doomed
	kept := k.doomed[:0]
	for _, x := range k.doomed {
		if now.Before(x.due) {
			kept = append(kept, x)
		} else {
			due = append(due, x)
		}
	}
	clear(k.doomed[len(kept):])
	k.doomed = kept
	k.mu.Unlock()
	for _, x := range due {
		if err := x.remove(); err != nil {
			k.dir.logger.Warn("file is not removed", "error", err)
		}
	}
}

// runDoomed removes everything that waits, at a stop.
func (k *keeper) runDoomed() { k.removeDue(time.Now().Add(1 << 62)) }

// isNoSpace says that a write was refused for want of room: nothing is broken.
func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
