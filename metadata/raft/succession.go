package raft

import (
	"context"
	"slices"
	"time"

	hraft "github.com/hashicorp/raft"
)

const (
	standInterval  = 500 * time.Millisecond // between two candidacies without a timeout
	succession     = 80 * time.Millisecond  // how much later each next follower stands when the leader's process is gone
	goneTimeout    = 250 * time.Millisecond // of one look whether it is
	handOverLimit  = time.Second            // of handing over leadership at a clean stop
	handOverRecent = 500 * time.Millisecond // a follower that answered this lately is there
)

// goneAgain says when to look whether the leader's process is gone after a stream of it has ended: a process that ends
// closes its streams and its listener one after the other.
var goneAgain = [...]time.Duration{0, 5 * time.Millisecond, 15 * time.Millisecond, 40 * time.Millisecond, 100 * time.Millisecond}

// Stand makes this member a candidate now, as the leader's order to succeed it would. Others then vote for it even while
// they believe that there is a leader, and pre-vote does not ask them first: it is for when there is known to be none.
func (q *Quorum) Stand() {
	if state := q.raft.State(); state == hraft.Candidate || state == hraft.Leader {
		return // to stand again would end the election that is under way
	}
	answer := make(chan hraft.RPCResponse, 1)
	request := &hraft.TimeoutNowRequest{RPCHeader: hraft.RPCHeader{
		ProtocolVersion: hraft.ProtocolVersionMax, ID: []byte(q.self.serverID()), Addr: []byte(q.self.serverAddress()),
	}}
	if q.transport != nil {
		q.transport.order(hraft.RPC{Command: request, RespChan: answer}, q.stop)
		return
	}
	_ = q.alone.TimeoutNow(q.self.serverID(), q.self.serverAddress(), request, new(hraft.TimeoutNowResponse)) // to itself: it fails only when closed
}

// StandIfIdle is Stand for a follower that is in a term still and has not stood a moment ago; an election that is under way
// is left alone.
func (q *Quorum) StandIfIdle(term uint64) bool {
	last := q.stoodAt.Load()
	now := time.Now().UnixNano()
	if q.raft.State() != hraft.Follower || q.Barred() || q.raft.CurrentTerm() != term || now-last < int64(standInterval) || !q.stoodAt.CompareAndSwap(last, now) {
		return false
	}
	q.Stand()
	return true
}

// watchStreams runs until Close: when a stream from another member ends, the leader's process may have.
func (q *Quorum) watchStreams() {
	for {
		select {
		case <-q.transport.layer.ended:
			q.succeed()
		case <-q.stop:
			return
		}
	}
}

// succeed stands for election if the leader's process is gone, instead of after a timeout of a second or two. Followers
// do so one after the other, the lowest node id first, so that they do not split the votes; one whose log is behind is
// refused by the next, whose turn it then is.
func (q *Quorum) succeed() {
	term := q.raft.CurrentTerm()
	_, leader := q.raft.LeaderWithID()
	turn := q.turn(leader)
	if leader == "" || turn < 0 || !q.isGone(leader) {
		return
	}
	q.cfg.Logger.Warn("the process that led the metadata quorum is gone", "leader", nodeID(leader))
	wait := time.Duration(turn) * succession
	for range 3 {
		if !q.sleep(wait) {
			return
		}
		if _, now := q.raft.LeaderWithID(); now != leader && now != "" {
			return
		}
		now := q.raft.CurrentTerm()
		if now == term {
			q.StandIfIdle(term)
			return
		}
		term, wait = now, 2*succession // another stands: it is given time
	}
}

// turn is this member's place among the voters that may succeed a leader; negative: it may not.
func (q *Quorum) turn(leader hraft.ServerID) int {
	var heirs []int32
	servers := q.servers()
	for _, s := range servers.Servers {
		if s.Suffrage == hraft.Voter && s.ID != leader {
			heirs = append(heirs, nodeID(s.ID))
		}
	}
	if leader == q.self.serverID() || !hasVoter(servers, q.self.serverID()) || q.Barred() {
		return -1
	}
	slices.Sort(heirs)
	return slices.Index(heirs, q.self.NodeID)
}

func (q *Quorum) isGone(leader hraft.ServerID) bool {
	address := q.addressOf(leader)
	for _, pause := range goneAgain {
		if !q.sleep(pause) {
			return false
		}
		ctx, cancel := context.WithTimeout(context.Background(), goneTimeout)
		gone := q.cfg.Streams.Gone(ctx, address)
		cancel()
		if gone {
			return true
		}
	}
	return false
}

func (q *Quorum) addressOf(id hraft.ServerID) string {
	for _, s := range q.servers().Servers {
		if s.ID == id {
			return memberOf(s).Address
		}
	}
	return ""
}

// sleep is false when the node was closed meanwhile.
func (q *Quorum) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-q.stop:
		return false
	}
}

// HandOver gives leadership to the follower that has most of the log, and room for more, so that a clean stop costs no election timeout. Nothing
// is accepted from here on, and what was is committed first, so that nobody is left without an answer. It is bounded; when
// it fails, or there is nothing to hand over, this node goes on as it is, and when it has led the others elect one another.
func (q *Quorum) HandOver() (handed bool) {
	if q.transport == nil || q.raft == nil || q.latch.Err() != nil || q.raft.State() != hraft.Leader {
		return false
	}
	heir, ok := q.heir()
	if !ok {
		return false
	}
	q.handing.Store(true)
	done := make(chan error, 1)
	go func() { done <- q.transfer(heir) }() // ends at the latest with raft
	timer := time.NewTimer(handOverLimit)
	defer timer.Stop()
	select {
	case err := <-done:
		if err == nil {
			return true
		}
		q.cfg.Logger.Warn("hand over leadership of metadata quorum", "to", nodeID(heir.ID), "error", err)
	case <-timer.C:
		q.cfg.Logger.Warn("leadership of metadata quorum was not handed over in time", "to", nodeID(heir.ID))
	}
	q.handing.Store(false)
	return false
}

func (q *Quorum) transfer(heir hraft.Server) error {
	if err := q.raft.Barrier(handOverLimit).Error(); err != nil {
		return err
	}
	return q.raft.LeadershipTransferToServer(heir.ID, heir.Address).Error()
}

func (q *Quorum) heir() (heir hraft.Server, ok bool) {
	term, best := q.raft.CurrentTerm(), uint64(0)
	for _, s := range q.servers().Servers {
		p := q.transport.progress.position(s.ID, term)
		there := s.ID != q.self.serverID() && time.Since(p.contact) < handOverRecent && time.Since(p.refused) >= minSpaceHold
		if s.Suffrage == hraft.Voter && there && (!ok || p.match > best) {
			heir, best, ok = s, p.match, true
		}
	}
	return heir, ok
}
