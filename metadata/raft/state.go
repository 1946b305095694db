package raft

import (
	"time"

	hraft "github.com/hashicorp/raft"
)

// State is the quorum as this node sees it.
type State struct {
	LeaderID    int32 // -1: none
	Term        uint64
	CommitIndex uint64
	LastIndex   uint64
	Voters      []MemberState
	Observers   []MemberState
}

// MemberState is one member's place in the log. Only the leader knows those of others.
type MemberState struct {
	Member
	LastIndex   int64     // -1: not known
	LastContact time.Time // zero: not known
	CaughtUp    time.Time // when it last had everything that the leader had; zero: not known
}

// State describes the quorum; before Start it has no members.
func (q *Quorum) State() State {
	if q.running.Load() == nil {
		return State{LeaderID: -1}
	}
	s := State{LeaderID: -1, Term: q.raft.CurrentTerm(), CommitIndex: q.raft.CommitIndex(), LastIndex: q.raft.LastIndex()}
	if _, id := q.raft.LeaderWithID(); id != "" {
		s.LeaderID = nodeID(id)
	}
	leads := q.raft.State() == hraft.Leader
	for _, server := range q.servers().Servers {
		member := q.memberState(server, s, leads)
		if server.Suffrage == hraft.Voter {
			s.Voters = append(s.Voters, member)
		} else {
			s.Observers = append(s.Observers, member)
		}
	}
	return s
}

func (q *Quorum) memberState(server hraft.Server, s State, leads bool) MemberState {
	m := MemberState{Member: memberOf(server), LastIndex: -1}
	if server.ID == q.self.serverID() {
		m.LastIndex = int64(s.LastIndex)
		if leads {
			m.LastContact, m.CaughtUp = time.Now(), time.Now()
		}
		return m
	}
	if !leads || q.transport == nil {
		return m
	}
	p := q.transport.progress.position(server.ID, s.Term)
	if !p.contact.IsZero() {
		m.LastIndex, m.LastContact, m.CaughtUp = int64(p.match), p.contact, p.caughtUp
	}
	return m
}

// Position is how far this member's log goes, as elections compare it.
type Position struct {
	LastTerm, LastIndex uint64
}

// Position returns how far this member's log goes. It reads the log of a member that runs or does not run yet.
func (q *Quorum) Position() Position {
	logs := q.stores.logs
	if logs == nil || q.latch.Err() != nil {
		return Position{}
	}
	snapshot := q.snapshotPosition()
	last, err := logs.LastIndex()
	if err != nil || last <= snapshot.LastIndex {
		return snapshot
	}
	var entry hraft.Log
	if logs.GetLog(last, &entry) != nil {
		return snapshot
	}
	return Position{LastTerm: entry.Term, LastIndex: last}
}

func (q *Quorum) snapshotPosition() Position {
	found, err := q.stores.snapshots.List()
	if err != nil || len(found) == 0 {
		return Position{}
	}
	return Position{LastTerm: found[0].Term, LastIndex: found[0].Index}
}

// Reached says that a node has been heard of: who waits for its answer tries again now.
func (q *Quorum) Reached() {
	if q.running.Load() != nil && q.transport != nil {
		q.transport.wake()
	}
}
