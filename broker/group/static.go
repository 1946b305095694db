package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// replaceStatic lets a static member (KIP-345) come back under a new id: a restart within the session timeout. In a
// stable group that changes nothing but the id, which is written; whoever still uses the old id is fenced.
func (s *shard) replaceStatic(g *group, e joinRequest, oldID string, ticket coordinator.Ticket, now time.Time, do *effects) {
	leaderBefore := g.leaderID()
	before := *g.byID[oldID]
	m := s.renameStatic(g, oldID, e.newMemberID, do)
	s.updateMember(g, m, e, ticket, do)
	s.startSession(g, m, millis(before.sessionTimeoutMillis), now)
	switch g.state {
	case stable:
		if next := g.selectProtocol(); g.protocol == nil || next == nil || *next != *g.protocol {
			s.rebalanceOrComplete(g, "a static member came back with other protocols", now, do)
			return
		}
		do.write(groupRecord(g.key, g.snapshot(func(m *member) []byte { return m.assignment })))
		do.Then = staticMemberWritten{key: g.key, before: before, newID: m.id, leaderBefore: leaderBefore, skipAssignment: e.body.Version >= 9}
	case completingRebalance:
		// The leader may have been told of the old id: its assignment would not fit.
		s.prepareRebalance(g, "a static member came back before the assignment", now, do)
	default:
		s.completeIfJoined(g, now, do)
	}
}

// renameStatic gives a static member another id and fences requests that wait under the old one.
func (s *shard) renameStatic(g *group, oldID, newID string, do *effects) *member {
	old := g.byID[oldID]
	s.answerJoin(g, old, joinError(oldID, kerr.FencedInstanceID), do)
	s.answerSync(old, syncError(kerr.FencedInstanceID), do)
	s.timers.cancel(old.session)
	s.telling = append(s.telling, announcement{g.news, nil}) // the old one asks again, and is fenced

	renamed := *old
	m := &renamed
	m.id, m.session, m.holding = newID, nil, nil
	m.heldUntil, m.gives = time.Time{}, false // whoever has the new id has just begun
	delete(g.byID, oldID)
	g.byID[newID] = m
	for i := range g.members {
		if g.members[i] == old {
			g.members[i] = m
		}
	}
	g.static[*m.instanceID] = newID
	if g.isLeader(oldID) {
		g.leader = &m.id
	}
	if g.pendingSync[oldID] {
		delete(g.pendingSync, oldID)
		g.pendingSync[newID] = true
	}
	return m
}

// onStaticMemberWritten answers the JoinGroup, or takes everything back when the new id could not be written.
func (s *shard) onStaticMemberWritten(e staticMemberWritten, err error, now time.Time, do *effects) {
	g := s.lookup(e.key)
	if g == nil || g.byID[e.newID] == nil {
		return // it was replaced or removed meanwhile, and answered then
	}
	m := g.byID[e.newID]
	r := joinResponse(m.id)
	r.Generation, r.ProtocolType, r.Protocol, r.LeaderID = g.generation, g.protocolType, g.protocol, e.leaderBefore
	switch {
	case err != nil:
		r.MemberID, r.ErrorCode = "", coordinator.Refusal(err).Code
	case e.skipAssignment:
		// KIP-814: the leader learns that it leads, but must not assign anew.
		r.LeaderID, r.SkipAssignment = g.leaderID(), g.isLeader(m.id)
		if r.SkipAssignment {
			r.Members = g.joinedMembers()
		}
	}
	if g.state == stable {
		s.answerJoin(g, m, r, do)
	}
	if err == nil || g.state != stable {
		return // a rebalance that began meanwhile carries the member on
	}
	s.timers.cancel(m.session)
	restored := s.renameStatic(g, m.id, e.before.id, do)
	restored.protocols = e.before.protocols
	restored.rebalanceTimeoutMillis, restored.sessionTimeoutMillis = e.before.rebalanceTimeoutMillis, e.before.sessionTimeoutMillis
	s.startSession(g, restored, millis(restored.sessionTimeoutMillis), now)
}
