package raft

import (
	"errors"
	"time"

	hraft "github.com/hashicorp/raft"
)

// watchLeadership runs until Close. A new leader may answer only after it has applied all that is in its log, because
// everything in it becomes committed.
func (q *Quorum) watchLeadership() {
	for {
		select {
		case leads := <-q.raft.LeaderCh():
			if leads {
				q.gained()
			} else {
				q.lost()
			}
		case <-q.stop:
			return
		}
	}
}

func (q *Quorum) gained() {
	term := q.raft.CurrentTerm()
	if !q.catchUp() {
		return
	}
	q.cfg.Logger.Info("leads metadata quorum", "node.id", q.cfg.NodeID, "term", term)
	q.handing.Store(false) // it was given back
	q.gainedAt.Store(time.Now().UnixNano())
	q.leadsTerm.Store(term)
	q.leader.moved()
	select {
	case q.leading <- struct{}{}:
	default:
	}
}

func (q *Quorum) lost() {
	led := q.leadsTerm.Swap(0) > 0
	q.leader.moved()
	select {
	case <-q.stop: // by leaving
	default:
		switch {
		case led && q.handing.Load():
			q.cfg.Logger.Info("handed over leadership of metadata quorum", "node.id", q.cfg.NodeID)
		case led:
			q.cfg.Logger.Warn("lost leadership of metadata quorum", "node.id", q.cfg.NodeID)
		}
	}
}

// Leads reports whether this node leads the quorum and has caught up. A term that has moved on means that it may have lost
// leadership and gained it again, and not caught up since.
func (q *Quorum) Leads() bool {
	term := q.leadsTerm.Load()
	return term > 0 && q.latch.Err() == nil && q.raft.CurrentTerm() == term
}

// leaderSince is when this node last became the leader.
func (q *Quorum) leaderSince() time.Time { return time.Unix(0, q.gainedAt.Load()) }

// catchUp waits until every command in the log has been applied; false when leadership or the node ended before.
func (q *Quorum) catchUp() bool {
	target, err := q.lastCommand()
	if err != nil {
		return false // the latch holds
	}
	for {
		applied, changed := q.fsm.position()
		if applied >= target {
			return true
		}
		lost := q.leader.wait()
		if q.raft.State() != hraft.Leader {
			return false
		}
		select {
		case <-changed:
		case <-lost:
		case <-q.stop:
			return false
		case <-q.latch.failed:
			return false
		}
	}
}

// lastCommand is the index of the last command in the log, 0 when there is none: what is not there is in the snapshot, which
// is applied.
func (q *Quorum) lastCommand() (uint64, error) {
	first, err := q.stores.logs.FirstIndex()
	if err != nil {
		return 0, err
	}
	last, err := q.stores.logs.LastIndex()
	if err != nil {
		return 0, err
	}
	for index := last; index >= first && index > 0; index-- {
		var entry hraft.Log
		if err := q.stores.logs.GetLog(index, &entry); errors.Is(err, hraft.ErrLogNotFound) {
			return 0, nil
		} else if err != nil {
			return 0, err
		}
		if entry.Type == hraft.LogCommand {
			return index, nil
		}
	}
	return 0, nil
}

func hasVoter(c hraft.Configuration, id hraft.ServerID) bool {
	for _, s := range c.Servers {
		if s.ID == id {
			return s.Suffrage == hraft.Voter
		}
	}
	return false
}
