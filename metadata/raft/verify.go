package raft

import (
	"context"
	"errors"
	"time"

	hraft "github.com/hashicorp/raft"
)

// VerifyLeader returns once a majority has confirmed that this node led when VerifyLeader was called, so that what it knows
// is not out of date.
//
// hashicorp/raft takes any answer to a heartbeat for a confirmation that comes after it was asked, also one to a heartbeat
// that was sent before: after a pause of this process the answers that lie in its sockets are from before another was
// elected. So the time at which a request was sent counts here, and what is asked of hashicorp/raft is to send one now.
func (q *Quorum) VerifyLeader(ctx context.Context) error {
	asked, term := time.Now(), q.leadsTerm.Load()
	for {
		if !q.Leads() || q.leadsTerm.Load() != term {
			return ErrNotLeader
		}
		if err := q.heartbeatNow(ctx); err != nil {
			return err
		}
		if q.confirmed(asked, term) {
			return nil
		}
	}
}

// heartbeatNow has heartbeats sent and returns when a majority has answered one, if perhaps an earlier one.
func (q *Quorum) heartbeatNow(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- q.raft.VerifyLeader().Error() }() // ends when leadership does, at the latest
	select {
	case err := <-done:
		if err != nil {
			return errors.Join(q.Err(), ErrNotLeader)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// confirmed reports whether a majority of voters, this one among them, has answered requests of the term that were sent
// not before a moment.
func (q *Quorum) confirmed(after time.Time, term uint64) bool {
	voters, agree := 0, 0
	for _, s := range q.servers().Servers {
		if s.Suffrage != hraft.Voter {
			continue
		}
		voters++
		if s.ID == q.self.serverID() || q.transport != nil && !q.transport.progress.position(s.ID, term).asked.Before(after) {
			agree++
		}
	}
	return agree > voters/2
}
