package raft

import (
	"sync"

	hraft "github.com/hashicorp/raft"
)

// leaderWatch lets others wait for a change of the quorum's leader, or of what this node is in it.
type leaderWatch struct {
	mu      sync.Mutex
	changed chan struct{} // guarded by mu: closed at the next change
}

func newLeaderWatch() *leaderWatch { return &leaderWatch{changed: make(chan struct{})} }

func (w *leaderWatch) wait() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

func (w *leaderWatch) moved() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.changed)
	w.changed = make(chan struct{})
}

// Leader returns the leader of the quorum, -1 when this node knows none, and a channel that is closed when that changes, or
// when this node, which leads, has caught up with the log.
func (q *Quorum) Leader() (id int32, changed <-chan struct{}) {
	changed = q.leader.wait() // before the look, so that no change falls between
	if q.running.Load() == nil {
		return -1, changed
	}
	if _, leader := q.raft.LeaderWithID(); leader != "" {
		return nodeID(leader), changed
	}
	return -1, changed
}

// MemberAddress returns where a member of the quorum is reached.
func (q *Quorum) MemberAddress(id int32) (address string, ok bool) {
	if q.running.Load() == nil {
		return "", false
	}
	for _, server := range q.servers().Servers {
		if nodeID(server.ID) == id {
			address, ok = memberOf(server).Address, true
		}
	}
	return address, ok
}

// watchLeader runs until Close.
func (q *Quorum) watchLeader() {
	events := make(chan hraft.Observation, 1) // one says as much as several
	observer := hraft.NewObserver(events, false, func(o *hraft.Observation) bool {
		_, is := o.Data.(hraft.LeaderObservation)
		return is
	})
	q.raft.RegisterObserver(observer)
	defer q.raft.DeregisterObserver(observer)
	for {
		q.leader.moved()
		select {
		case <-events:
		case <-q.stop:
			return
		}
	}
}
