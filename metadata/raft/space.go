package raft

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// minSpaceHold is how long the log counts as full after an entry was refused, whatever was stored since: on a disk that is
	// just about full some entries are. It doubles, up to maxSpaceHold, when the disk is full again within spaceCalm.
	minSpaceHold = 2 * time.Second
	maxSpaceHold = time.Minute
	spaceCalm    = 10 * time.Minute
	// spaceInterval is between two looks whether a full disk takes anything. Who is full does not stand for election, so where
	// all voters are full nobody would append an entry to find out.
	spaceInterval   = time.Second
	spaceProbeBytes = 64 << 10
	spaceProbeFile  = ".room"
)

// space is whether the disk takes entries of the log.
type space struct {
	filled chan struct{} // a token when entries are refused, and were not before

	mu      sync.Mutex
	full    bool          // guarded by mu, as is the rest: the last entries were refused
	refused time.Time     // when entries were refused last; zero: never
	hold    time.Duration // for which that counts
}

// note takes in what became of an append.
func (s *space) note(err error, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil || !isNoSpace(err) {
		s.full = false
		return
	}
	if !s.isFullLocked(now) {
		if s.refused.IsZero() || now.Sub(s.refused) >= s.hold+spaceCalm {
			s.hold = minSpaceHold
		} else {
			s.hold = min(2*s.hold, maxSpaceHold)
		}
		select {
		case s.filled <- struct{}{}:
		default:
		}
	}
	s.full, s.refused = true, now
}

func (s *space) isFull(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.isFullLocked(now)
}

func (s *space) isFullLocked(now time.Time) bool {
	return s.full || !s.refused.IsZero() && now.Sub(s.refused) < s.hold
}

// Full reports that the disk has refused entries of the log for want of space, and that nothing says yet that it has room
// again. This node's view of the metadata may be old then, and stays so.
func (q *Quorum) Full() bool { return q.latch.space.isFull(time.Now()) }

// Barred reports that this member does not stand for election: it could not append the first entry of its term, and would keep
// those who can lead from it. It goes on to vote, which takes no room. An only voter is never barred: nobody else would lead.
func (q *Quorum) Barred() bool {
	if q.transport == nil || q.running.Load() == nil || !q.Full() && !q.cut.open() {
		return false
	}
	return voterCount(q.servers()) > 1
}

// watchSpace runs until Close. It tells once that the disk is full, and looks for room until there is some.
func (q *Quorum) watchSpace() {
	for {
		select {
		case <-q.latch.space.filled:
		case <-q.stop:
			return
		}
		q.cfg.Logger.Error("no space for the metadata log: this node hears of no changes and leads nothing until there is room again; "+
			"add space, or take away what else is on the disk", "directory", q.cfg.Directory)
		for q.Full() {
			if !q.sleep(spaceInterval) {
				return
			}
			if q.stores.probe() == nil {
				q.latch.space.note(nil, time.Now())
			}
		}
		q.cfg.Logger.Info("there is space for the metadata log again", "directory", q.cfg.Directory)
	}
}

// probeSpace writes something to the directory of the log and takes it away again.
func probeSpace(directory string) error {
	name := filepath.Join(directory, spaceProbeFile)
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, spaceProbeBytes))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), os.Remove(name))
}
