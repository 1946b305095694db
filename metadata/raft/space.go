package raft

import (
	"sync"
	"time"
)

// spaceHold is how long the log counts as full after an entry was refused, whatever was stored since: on a disk that is just
// about full some entries are.
const spaceHold = 10 * time.Second

// space is whether the disk takes entries of the log.
type space struct {
	mu      sync.Mutex
	full    bool      // guarded by mu: the last entries were refused
	refused time.Time // guarded by mu: when entries were refused last; zero: never
}

// note takes in what became of an append.
func (s *space) note(err error, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = err != nil && isNoSpace(err)
	if s.full {
		s.refused = now
	}
}

func (s *space) isFull(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.full || !s.refused.IsZero() && now.Sub(s.refused) < spaceHold
}

// Full reports that the disk has refused entries of the log for want of space, and that nothing says yet that it has room
// again. This node's view of the metadata may be old then, and stays so.
func (q *Quorum) Full() bool { return q.latch.space.isFull(time.Now()) }
