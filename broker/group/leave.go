package group

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// leaveRequest is a LeaveGroup; versions before 3, which name one member, are brought to the form of the later ones.
type leaveRequest struct {
	key     groupKey
	members []kmsg.LeaveGroupRequestMember
}

// leaveGroup takes members out, each with its own outcome, and rebalances once.
func (s *shard) leaveGroup(e leaveRequest, ticket coordinator.Ticket, now time.Time, do *effects) {
	g := s.lookup(e.key)
	if g != nil && g.consumer != nil {
		s.leaveConsumer(g, e, ticket, now, do)
		return
	}
	r := kmsg.NewPtrLeaveGroupResponse()
	anyLeft := false
	for _, leaving := range e.members {
		m := kmsg.NewLeaveGroupResponseMember()
		m.MemberID, m.InstanceID = leaving.MemberID, leaving.InstanceID
		if err := s.leave(g, leaving, do); err != nil {
			m.ErrorCode = err.Code
		} else {
			anyLeft = true
		}
		r.Members = append(r.Members, m)
	}
	if anyLeft {
		switch g.state {
		case stable, completingRebalance:
			s.prepareRebalance(g, "members left", now, do)
		case preparingRebalance:
			s.completeIfJoined(g, now, do)
		}
		s.forgetLeft(g, do)
		s.releaseLater(g)
	}
	do.reply(ticket, r)
}

// forgetLeft writes the last generation without those who are not members any more: the next coordinator would wait for their
// sessions to end, and begin them anew if it moves meanwhile. It finds no leader, and has those who are left join again.
// Kafka writes the next generation only.
func (s *shard) forgetLeft(g *group, do *effects) {
	if g.stored == nil || g.state == empty {
		return
	}
	rest := *g.stored
	rest.leader, rest.members = nil, slices.DeleteFunc(slices.Clone(rest.members), func(m storedMember) bool { return g.byID[m.id] == nil })
	if len(rest.members) < len(g.stored.members) {
		do.write(groupRecord(g.key, &rest))
	}
}

// leave takes one member out: by its id, or, as an administrator does with a static member, by its instance id alone.
func (s *shard) leave(g *group, leaving kmsg.LeaveGroupRequestMember, do *effects) *kerr.Error {
	if g == nil {
		return kerr.UnknownMemberID
	}
	memberID := leaving.MemberID
	switch {
	case memberID == "":
		if leaving.InstanceID == nil || g.static[*leaving.InstanceID] == "" {
			return kerr.UnknownMemberID
		}
		memberID = g.static[*leaving.InstanceID]
	case g.pendingJoin[memberID] != nil:
		s.dropPending(g, memberID)
		return nil
	default:
		if err := g.validate(memberID, leaving.InstanceID); err != nil {
			return err
		}
	}
	s.removeMember(g, g.byID[memberID], do)
	return nil
}
