package metadata

import (
	"context"
	"time"

	"github.com/millrace-io/millrace/metadata/join"
	"github.com/millrace-io/millrace/metadata/raft"
)

const (
	rallyIntervalMin = 100 * time.Millisecond // between looks of a node that knows no leader
	rallyIntervalMax = 2 * time.Second
	rallyPause       = 30 * time.Millisecond // after a change of leader, which is often two
	rallyBreath      = 10 * time.Millisecond // between two looks at least: nodes without a leader ask each other in turn
)

// rally runs until the node is closed. A node that has started tells the others, so that they reach it at once; when a
// majority of voters is there and nobody leads, the one with the longest log stands for election instead of waiting for a
// timeout. A node that the cluster does not know, or knows by another address, asks to be admitted.
func (n *Node) rally(ctx context.Context) {
	j := &joiner{cfg: n.cfg, quorum: n.quorum}
	interval, asked := rallyIntervalMin, true // a start asks everybody, and so tells them
	for ctx.Err() == nil {
		_, changed := n.quorum.Leader()
		settled := n.rallyOnce(ctx, j, asked)
		asked = false
		timer := time.NewTimer(interval)
		look := timer.C
		if settled {
			look, interval = nil, rallyIntervalMin
		} else {
			changed, interval = nil, min(2*interval, rallyIntervalMax) // it looks soon enough
		}
		select {
		case <-look:
		case <-changed:
			sleep(ctx, rallyPause)
		case <-n.greeter.voters:
			sleep(ctx, rallyBreath)
			asked = true
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// rallyOnce asks everybody once, unless this node is a member and knows a leader and nobody has asked; true when there is
// nothing left to do.
func (n *Node) rallyOnce(ctx context.Context, j *joiner, asked bool) (settled bool) {
	state := n.quorum.State()
	self, position := j.self(), positionOf(n.quorum)
	if state.LeaderID == n.cfg.NodeID || state.LeaderID >= 0 && !asked && join.Knows(membersOf(state), self) {
		return true
	}
	question := join.Question{From: self, Position: position}
	question.Position.Runs = state.LeaderID < 0 // who knows a leader makes nobody else look
	answers := j.askAll(ctx, n.knownAddresses(state, j), question)
	leader, known := join.FindLeader(self, state.LeaderID, answers)
	if !known {
		if join.Stands(self, position, votersOf(state), answers) {
			n.standAsOf(state)
		}
		return false
	}
	if !leader.Knows(self) {
		if n.departs.Load() {
			return true
		}
		j.tell(j.admit(ctx, leader.Address).Wait)
		return false
	}
	return n.quorum.State().LeaderID >= 0
}

// standAsOf stands for election unless there was one, or a leader was found, since state was seen. The slowest answer may have
// taken a second, and the others are as old by then: to stand on them would depose whoever was elected meanwhile.
func (n *Node) standAsOf(state raft.State) (stands bool) {
	if stands = n.quorum.State().LeaderID == state.LeaderID && n.quorum.StandIfIdle(state.Term); stands {
		n.cfg.Logger.Debug("stands for election: a majority is there and nobody leads", "node.id", n.cfg.NodeID)
	}
	return stands
}

// knownAddresses are those of the members and of the configuration.
func (n *Node) knownAddresses(state raft.State, j *joiner) []string {
	list, seen := j.addresses(), map[string]bool{n.cfg.Address: true, "": true}
	for _, m := range membersOf(state) {
		list = append(list, m.Address)
	}
	unique := list[:0]
	for _, address := range list {
		if !seen[address] {
			seen[address] = true
			unique = append(unique, address)
		}
	}
	return unique
}

func votersOf(state raft.State) (voters []join.Member) {
	for _, m := range membersOf(state) {
		if m.Voter {
			voters = append(voters, m)
		}
	}
	return voters
}
