package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// syncRequest is a SyncGroup.
type syncRequest struct {
	key  groupKey
	body *kmsg.SyncGroupRequest
}

// assignmentWritten ends the write of a generation's assignment.
type assignmentWritten struct {
	key        groupKey
	generation int32
	assignment map[string][]byte
}

func syncError(err *kerr.Error) *kmsg.SyncGroupResponse {
	r := kmsg.NewPtrSyncGroupResponse()
	r.ErrorCode = err.Code
	return r
}

// syncGroup lets members wait for the leader's assignment, writes that, and hands out what is there.
func (s *shard) syncGroup(e syncRequest, ticket coordinator.Ticket, now time.Time, do *effects) {
	g := s.lookup(e.key)
	if g != nil && g.consumer != nil {
		s.syncConsumer(g, e, ticket, now, do)
		return
	}
	if g == nil || g.state == empty {
		do.replyNow(ticket, syncError(kerr.UnknownMemberID))
		return
	}
	if err := g.validateSync(e.body); err != nil {
		do.replyNow(ticket, syncError(err))
		return
	}
	m := g.byID[e.body.MemberID]
	switch g.state {
	case preparingRebalance:
		do.replyNow(ticket, syncError(kerr.RebalanceInProgress))
	case completingRebalance:
		s.answerSync(m, syncError(kerr.RebalanceInProgress), do) // a request that the client has given up
		m.sync = ticket
		s.hasSynced(g, m.id)
		if g.isLeader(m.id) {
			s.writeAssignment(g, e.body, do)
		}
	default:
		s.hasSynced(g, m.id)
		s.syncStable(g, m, ticket, now, do)
	}
}

// syncStable hands out what is there. Who comes after the leader's assignment is held back as who came before it; one whose client has
// given a SyncGroup up that is held is not held again.
func (s *shard) syncStable(g *group, m *member, ticket coordinator.Ticket, now time.Time, do *effects) {
	if m.sync != 0 {
		s.answerSync(m, syncError(kerr.RebalanceInProgress), do)
		m.heldUntil = time.Time{}
	}
	m.sync = ticket
	s.assign(g, m, now, do)
}

func (g *group) validateSync(r *kmsg.SyncGroupRequest) *kerr.Error {
	if err := g.validate(r.MemberID, r.InstanceID); err != nil {
		return err
	}
	if r.Generation != g.generation {
		return kerr.IllegalGeneration
	}
	if differ(r.ProtocolType, g.protocolType) || differ(r.Protocol, g.protocol) {
		return kerr.InconsistentGroupProtocol
	}
	return nil
}

func differ(said, is *string) bool { return said != nil && is != nil && *said != *is }

func (g *group) assignmentFor(m *member) *kmsg.SyncGroupResponse {
	r := kmsg.NewPtrSyncGroupResponse()
	r.ProtocolType, r.Protocol, r.MemberAssignment = g.protocolType, g.protocol, m.assignment
	return r
}

func (s *shard) hasSynced(g *group, memberID string) {
	delete(g.pendingSync, memberID)
	if len(g.pendingSync) == 0 {
		s.timers.cancel(g.syncTimer)
	}
}

// writeAssignment sends the generation to the log. The group is stable once that is committed.
func (s *shard) writeAssignment(g *group, r *kmsg.SyncGroupRequest, do *effects) {
	assignment := make(map[string][]byte, len(r.GroupAssignment))
	for _, a := range r.GroupAssignment {
		assignment[a.MemberID] = a.MemberAssignment
	}
	do.write(groupRecord(g.key, g.snapshot(func(m *member) []byte { return assignment[m.id] })))
	do.Then = assignmentWritten{g.key, g.generation, assignment}
}

// onAssignmentWritten hands out the assignment, unless the group has moved on. One that could not be written is an error
// to everybody and another rebalance.
func (s *shard) onAssignmentWritten(e assignmentWritten, err error, now time.Time, do *effects) {
	g := s.lookup(e.key)
	if g == nil || g.state != completingRebalance || g.generation != e.generation {
		return
	}
	if err != nil {
		s.propagateError(g, coordinator.Refusal(err), now, do)
		s.prepareRebalance(g, "the assignment could not be written", now, do)
		g.unwritten = true
		return
	}
	if g.unwritten {
		g.unwritten = false
		do.noteGeneration(g)
	}
	g.setHolds(e.assignment, now)
	for _, m := range g.members {
		m.assignment = e.assignment[m.id]
		if m.sync != 0 {
			s.assign(g, m, now, do)
		}
	}
	s.transition(g, stable, now)
	s.figures.rebalances++
}

// assign answers a member's waiting SyncGroup with what it has got, once it is not held back any more.
func (s *shard) assign(g *group, m *member, now time.Time, do *effects) {
	if now.Before(m.heldUntil) {
		s.holdSync(g, m)
		return
	}
	s.answerSync(m, g.assignmentFor(m), do)
	s.startSession(g, m, millis(m.sessionTimeoutMillis), now)
}

// propagateError ends every waiting SyncGroup with an error.
func (s *shard) propagateError(g *group, err *kerr.Error, now time.Time, do *effects) {
	for _, m := range g.members {
		m.assignment = nil
	}
	s.endSyncs(g, syncError(err), now, do)
}

// answerSync ends a member's waiting SyncGroup, if there is one.
func (s *shard) answerSync(m *member, r *kmsg.SyncGroupResponse, do *effects) {
	if m.sync != 0 {
		do.replyNow(m.sync, r)
		m.sync = 0
		s.timers.cancel(m.holding)
	}
}
