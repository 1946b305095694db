package raft

import (
	"context"
	"errors"
	"fmt"
	"time"

	hraft "github.com/hashicorp/raft"
)

// Errors of changes of the membership.
var (
	// ErrInUse says that a node id belongs to another member, which is there.
	ErrInUse = errors.New("another member with this node id is there")
	// ErrNoMember says that the node is not a member.
	ErrNoMember = errors.New("the node is not a member of the metadata quorum")
	// ErrVoters says that the quorum would have too few or too many voters.
	ErrVoters = errors.New("the metadata quorum has 1 to 5 voters")
)

const (
	maxVoters     = 5
	absence       = 2 * time.Second        // after which a member that does not answer may be replaced
	presence      = time.Second            // a member that answered this lately is there
	tendInterval  = 500 * time.Millisecond // how often a leader looks whether a member is to be replaced
	changeTimeout = 5 * time.Second        // of one change of the configuration
)

// Admit makes a node a member: as one that does not vote, unless the member is one already. A node whose disk was lost takes
// the place of the member that it was once that one has been silent for a while; when that one had a vote, the new one
// gets it as soon as it has caught up. Only the leader admits.
func (q *Quorum) Admit(m Member) error {
	if err := m.validate(); err != nil {
		return err
	}
	if q.transport == nil || !q.Leads() {
		return ErrNotLeader
	}
	for _, s := range q.servers().Servers {
		if s.ID == m.serverID() {
			return q.move(s, m)
		}
	}
	for _, s := range q.servers().Servers {
		if nodeID(s.ID) != m.NodeID {
			continue
		}
		if !q.isAbsent(s.ID) {
			return fmt.Errorf("%w: node %d", ErrInUse, m.NodeID)
		}
		if s.Suffrage != hraft.Voter {
			if err := q.changed(q.raft.RemoveServer(s.ID, 0, changeTimeout)); err != nil {
				return err
			}
		}
	}
	q.cfg.Logger.Info("admits a node to the metadata quorum", "member", string(m.serverAddress()))
	return q.changed(q.raft.AddNonvoter(m.serverID(), m.serverAddress(), 0, changeTimeout))
}

// move changes a member's address.
func (q *Quorum) move(s hraft.Server, m Member) error {
	switch {
	case s.Address == m.serverAddress():
		return nil
	case s.Suffrage == hraft.Voter:
		return q.changed(q.raft.AddVoter(s.ID, m.serverAddress(), 0, changeTimeout))
	}
	return q.changed(q.raft.AddNonvoter(s.ID, m.serverAddress(), 0, changeTimeout))
}

func (q *Quorum) changed(f hraft.IndexFuture) error {
	err := f.Error()
	if errors.Is(err, hraft.ErrEnqueueTimeout) {
		return ErrNotLeader // nothing was accepted: another change is not committed yet
	}
	if err != nil {
		return q.proposalError(err)
	}
	return nil
}

// isAbsent reports that a member has not answered this leader for so long that it may be replaced.
func (q *Quorum) isAbsent(id hraft.ServerID) bool {
	if id == q.self.serverID() {
		return false
	}
	return q.silence(id) >= absence
}

func (q *Quorum) isPresent(id hraft.ServerID) bool {
	return id == q.self.serverID() || q.silence(id) < presence
}

// silence is for how long a member has not answered this leader.
func (q *Quorum) silence(id hraft.ServerID) time.Duration {
	p := q.transport.progress.position(id, q.raft.CurrentTerm())
	since := q.leaderSince()
	if p.contact.After(since) {
		since = p.contact
	}
	return time.Since(since)
}

func (q *Quorum) hasCaughtUp(id hraft.ServerID) bool {
	return time.Since(q.transport.progress.position(id, q.raft.CurrentTerm()).caughtUp) < presence
}

// AddVoter gives a member a vote, once it has caught up. Only the leader does it.
func (q *Quorum) AddVoter(ctx context.Context, node int32) error {
	for {
		if q.transport == nil || !q.Leads() {
			return ErrNotLeader
		}
		s, err := q.find(node)
		switch {
		case err != nil:
			return err
		case s.Suffrage == hraft.Voter:
			return nil
		case voterCount(q.servers()) >= maxVoters:
			return ErrVoters
		case q.hasCaughtUp(s.ID):
			return q.changed(q.raft.AddVoter(s.ID, s.Address, 0, changeTimeout))
		}
		select {
		case <-time.After(retryInterval):
		case <-ctx.Done():
			return fmt.Errorf("wait until node %d has caught up: %w", node, ctx.Err())
		case <-q.stop:
			return ErrNotLeader
		}
	}
}

// find returns the member of a node; of several the one that is there.
func (q *Quorum) find(node int32) (found hraft.Server, err error) {
	err = fmt.Errorf("%w: node %d", ErrNoMember, node)
	for _, s := range q.servers().Servers {
		if nodeID(s.ID) == node && (err != nil || q.isPresent(s.ID)) {
			found, err = s, nil
		}
	}
	return found, err
}

// RemoveVoter takes a member's vote. One that is there goes on as a member without a vote, one that is not is forgotten.
func (q *Quorum) RemoveVoter(node int32) error {
	if q.transport == nil || !q.Leads() {
		return ErrNotLeader
	}
	for _, s := range q.servers().Servers {
		if nodeID(s.ID) != node || s.Suffrage != hraft.Voter {
			continue
		}
		if voterCount(q.servers()) == 1 {
			return ErrVoters
		}
		if q.isPresent(s.ID) {
			return q.changed(q.raft.DemoteVoter(s.ID, 0, changeTimeout))
		}
		return q.changed(q.raft.RemoveServer(s.ID, 0, changeTimeout))
	}
	return fmt.Errorf("%w: node %d has no vote", ErrNoMember, node)
}

// Forget removes every member of a node that has left for good. A node without one is no error.
func (q *Quorum) Forget(node int32) error {
	if q.transport == nil || !q.Leads() {
		return ErrNotLeader
	}
	for _, s := range q.servers().Servers {
		switch {
		case nodeID(s.ID) != node:
		case s.Suffrage == hraft.Voter && voterCount(q.servers()) == 1:
			return ErrVoters
		default:
			if err := q.changed(q.raft.RemoveServer(s.ID, 0, changeTimeout)); err != nil {
				return err
			}
		}
	}
	return nil
}

// tendMembers runs until Close. A leader gives the vote of a member whose disk was lost to the member that came instead,
// forgets members that have left for good, and keeps its own address right. Which member replaces which is seen from the
// configuration alone, so that it does not matter which leader began it.
func (q *Quorum) tendMembers() {
	ticker := time.NewTicker(tendInterval)
	defer ticker.Stop()
	missed := map[hraft.ServerID]time.Time{}
	for {
		select {
		case <-ticker.C:
		case <-q.leader.wait():
		case <-q.stop:
			return
		}
		if !q.Leads() {
			clear(missed)
			continue
		}
		if err := q.tend(missed); err != nil {
			q.cfg.Logger.Warn("tend members of metadata quorum", "error", err)
		}
	}
}

// leftForGood returns a member without a vote that is not expected and was not there for ForgetAfter. missed holds since when
// each such member is: one that was admitted a moment ago has not answered yet, either.
func (q *Quorum) leftForGood(servers []hraft.Server, missed map[hraft.ServerID]time.Time) (hraft.Server, bool) {
	for _, s := range servers {
		if s.Suffrage == hraft.Voter || q.cfg.Expected == nil || q.cfg.Expected(nodeID(s.ID)) || q.isPresent(s.ID) {
			delete(missed, s.ID)
			continue
		}
		since, known := missed[s.ID]
		if !known {
			missed[s.ID] = time.Now()
		} else if time.Since(since) >= q.cfg.Limits.ForgetAfter {
			delete(missed, s.ID)
			return s, true
		}
	}
	return hraft.Server{}, false
}

// tend makes at most one change.
func (q *Quorum) tend(missed map[hraft.ServerID]time.Time) error {
	servers := q.servers().Servers
	for _, s := range servers {
		if s.ID == q.self.serverID() && s.Address != q.self.serverAddress() {
			return q.move(s, q.self)
		}
	}
	if s, ok := q.leftForGood(servers, missed); ok {
		q.cfg.Logger.Info("forgets a member of the metadata quorum that is gone and not registered", "member", string(s.Address))
		return q.changed(q.raft.RemoveServer(s.ID, 0, changeTimeout))
	}
	for _, old := range servers {
		for _, s := range servers {
			replaces := nodeID(old.ID) == nodeID(s.ID) && old.ID != s.ID && old.Suffrage == hraft.Voter && q.isAbsent(old.ID) && q.isPresent(s.ID)
			switch {
			case !replaces:
			case s.Suffrage == hraft.Voter:
				q.cfg.Logger.Info("removes the member of a lost disk from the metadata quorum", "member", string(old.Address))
				return q.changed(q.raft.RemoveServer(old.ID, 0, changeTimeout))
			case q.hasCaughtUp(s.ID):
				q.cfg.Logger.Info("gives the vote of a lost disk to the node's new member", "member", string(s.Address))
				return q.changed(q.raft.AddVoter(s.ID, s.Address, 0, changeTimeout))
			}
		}
	}
	return nil
}
