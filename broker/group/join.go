package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
)

const (
	// maxPendingMembers bounds the ids of a group that were handed out and did not come back.
	maxPendingMembers = 10_000
	// maxReasonBytes is how much of a client's reason is logged, as in Kafka.
	maxReasonBytes = 255
)

// joinRequest is a JoinGroup. newMemberID is the id that the member gets if it needs one: the shard rolls no dice.
type joinRequest struct {
	key         groupKey
	caller      Caller
	body        *kmsg.JoinGroupRequest
	newMemberID string
}

// staticMemberWritten ends the rejoin of a static member that needs no rebalance.
type staticMemberWritten struct {
	key            groupKey
	before         member // as it was under its old id
	newID          string
	leaderBefore   string
	skipAssignment bool // the client knows the flag (v9)
}

func joinResponse(memberID string) *kmsg.JoinGroupResponse {
	r := kmsg.NewPtrJoinGroupResponse()
	r.Generation, r.MemberID = -1, memberID
	return r
}

func joinError(memberID string, err *kerr.Error) *kmsg.JoinGroupResponse {
	r := joinResponse(memberID)
	r.ErrorCode = err.Code
	return r
}

// joinGroup decides what a JoinGroup leads to, as Kafka's GroupMetadataManager.classicGroupJoinToClassicGroup.
func (s *shard) joinGroup(e joinRequest, ticket coordinator.Ticket, now time.Time, do *effects) {
	memberID := e.body.MemberID
	g := s.lookup(e.key)
	if g == nil && memberID != "" {
		do.replyNow(ticket, joinError(memberID, kerr.UnknownMemberID))
		return
	}
	if g == nil {
		g = s.obtain(e.key)
	}
	if g.share != nil || g.streams != nil && len(g.streams.members) > 0 {
		do.replyNow(ticket, joinError("", kerr.InconsistentGroupProtocol))
		return
	}
	if g.consumer != nil && len(g.consumer.members) > 0 {
		s.joinConsumer(g, e, ticket, now, do)
		return
	}
	if g.consumer != nil {
		do.write(consumerTombstones(g.key, g.consumer)...) // an empty group may be of either protocol
	}
	if g.streams != nil {
		do.write(streamsTombstones(g.key, g.streams)...)
	}
	g.ensureMaps()
	defer s.releaseLater(g) // a group that was made for a join that is refused
	switch {
	case !s.accepts(g, memberID):
		s.dropMember(g, memberID)
		do.replyNow(ticket, joinError("", kerr.GroupMaxSizeReached))
	case !g.supports(e.body.ProtocolType, e.body.Protocols):
		do.replyNow(ticket, joinError(memberID, kerr.InconsistentGroupProtocol))
	case memberID == "":
		s.joinNewMember(g, e, ticket, now, do)
	case g.pendingJoin[memberID] != nil && e.body.InstanceID == nil:
		s.addMember(g, e, memberID, ticket, now, do)
	default:
		s.rejoin(g, e, ticket, now, do)
	}
}

// accepts holds the group to group.max.size. While a rebalance gathers its members, those that wait are counted, so that
// a lowered limit turns the last ones away.
func (s *shard) accepts(g *group, memberID string) bool {
	limit := int(s.settings().MaxSize)
	m := g.byID[memberID]
	switch g.state {
	case empty:
		return true
	case preparingRebalance:
		return m != nil && m.join != 0 || g.awaitingJoin < limit
	default:
		return m != nil || len(g.members) < limit
	}
}

func (s *shard) joinNewMember(g *group, e joinRequest, ticket coordinator.Ticket, now time.Time, do *effects) {
	if instance := e.body.InstanceID; instance != nil {
		if oldID, ok := g.static[*instance]; ok {
			s.replaceStatic(g, e, oldID, ticket, now, do)
		} else {
			s.addMember(g, e, e.newMemberID, ticket, now, do)
		}
		return
	}
	if e.body.Version < 4 {
		s.addMember(g, e, e.newMemberID, ticket, now, do)
		return
	}
	if len(g.pendingJoin) >= maxPendingMembers {
		do.replyNow(ticket, joinError("", kerr.GroupMaxSizeReached))
		return
	}
	// KIP-394: a client that dies before it learns its id must not leave a member behind. It gets the id first.
	t := g.newTimer(func(now time.Time, do *effects) { s.expirePending(g, e.newMemberID, now, do) })
	g.pendingJoin[e.newMemberID] = t
	s.timers.schedule(t, now.Add(millis(e.body.SessionTimeoutMillis)))
	do.replyNow(ticket, joinError(e.newMemberID, kerr.MemberIDRequired))
}

func (s *shard) addMember(g *group, e joinRequest, memberID string, ticket coordinator.Ticket, now time.Time, do *effects) {
	s.dropPending(g, memberID)
	m := &member{
		id: memberID, instanceID: e.body.InstanceID, clientID: e.caller.ClientID, clientHost: e.caller.ClientHost,
		rebalanceTimeoutMillis: rebalanceTimeoutOf(e.body), sessionTimeoutMillis: e.body.SessionTimeoutMillis,
		protocols: e.body.Protocols, join: ticket, isNew: true, steady: e.caller.Steady,
	}
	if g.state == preparingRebalance && g.previous == empty {
		g.newMemberAt = now
	}
	g.add(m, e.body.ProtocolType)
	// Until it has its id, a new member cannot send heartbeats, and a connection whose request waits is not read, so
	// that nobody sees it break: this bounds how long such members pile up in a long rebalance.
	s.startSession(g, m, millis(s.settings().NewMemberJoinTimeoutMillis), now)
	s.rebalanceOrComplete(g, "a member joined: "+reasonOf(e.body), now, do)
}

// rebalanceTimeoutOf is the session timeout in version 0, which knows no other.
func rebalanceTimeoutOf(r *kmsg.JoinGroupRequest) int32 {
	if r.Version == 0 {
		return r.SessionTimeoutMillis
	}
	return r.RebalanceTimeoutMillis
}

// rejoin is the JoinGroup of somebody who claims to be a member.
func (s *shard) rejoin(g *group, e joinRequest, ticket coordinator.Ticket, now time.Time, do *effects) {
	memberID := e.body.MemberID
	if err := g.validate(memberID, e.body.InstanceID); err != nil {
		do.replyNow(ticket, joinError(memberID, err))
		return
	}
	m := g.byID[memberID]
	changed := !m.matches(e.body.Protocols)
	switch g.state {
	case preparingRebalance:
		s.updateMember(g, m, e, ticket, do)
		s.rebalanceOrComplete(g, "a member rejoined: "+reasonOf(e.body), now, do)
	case completingRebalance:
		if changed {
			s.updateMember(g, m, e, ticket, do)
			s.rebalanceOrComplete(g, "a member rejoined: "+reasonOf(e.body), now, do)
			return
		}
		// It did not get the answer to its first JoinGroup.
		do.replyNow(ticket, s.generationFor(g, m))
	case stable:
		// The leader may rejoin for what no subscription shows, such as a topic that got more partitions.
		if changed || g.isLeader(memberID) {
			s.updateMember(g, m, e, ticket, do)
			s.rebalanceOrComplete(g, "a member rejoined: "+reasonOf(e.body), now, do)
			return
		}
		do.replyNow(ticket, s.generationFor(g, m))
	default:
		do.replyNow(ticket, joinError(memberID, kerr.UnknownMemberID))
	}
}

// reasonOf is what the client says of why it joins (KIP-800).
func reasonOf(r *kmsg.JoinGroupRequest) string {
	if r.Reason == nil || *r.Reason == "" {
		return "no reason given"
	}
	return (*r.Reason)[:min(len(*r.Reason), maxReasonBytes)]
}

// updateMember takes over what a member now says of itself and lets its JoinGroup wait. A request of it that waits
// already is answered: the client has given it up.
func (s *shard) updateMember(g *group, m *member, e joinRequest, ticket coordinator.Ticket, do *effects) {
	m.protocols, m.steady = e.body.Protocols, e.caller.Steady
	m.rebalanceTimeoutMillis, m.sessionTimeoutMillis = rebalanceTimeoutOf(e.body), e.body.SessionTimeoutMillis
	if m.join != 0 {
		do.replyNow(m.join, joinError(m.id, kerr.RebalanceInProgress))
	} else {
		g.awaitingJoin++
	}
	m.join = ticket
}

// generationFor is the answer to a member's JoinGroup: the leader gets everybody's metadata, to assign by.
func (s *shard) generationFor(g *group, m *member) *kmsg.JoinGroupResponse {
	r := joinResponse(m.id)
	r.Generation, r.ProtocolType, r.Protocol, r.LeaderID = g.generation, g.protocolType, g.protocol, g.leaderID()
	if g.isLeader(m.id) {
		r.Members = g.joinedMembers()
	}
	return r
}

func (g *group) joinedMembers() []kmsg.JoinGroupResponseMember {
	joined := make([]kmsg.JoinGroupResponseMember, 0, len(g.members))
	for _, m := range g.members {
		x := kmsg.NewJoinGroupResponseMember()
		x.MemberID, x.InstanceID = m.id, m.instanceID
		if g.protocol != nil {
			x.ProtocolMetadata = m.metadata(*g.protocol)
		}
		joined = append(joined, x)
	}
	return joined
}

// answerJoin ends a member's waiting JoinGroup, if there is one.
func (s *shard) answerJoin(g *group, m *member, r *kmsg.JoinGroupResponse, do *effects) {
	if m.join != 0 {
		do.replyNow(m.join, r)
		m.join = 0
		g.awaitingJoin--
	}
}
