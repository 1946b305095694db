package group

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// leaveStreams is the last heartbeat of a member.
func (s *shard) leaveStreams(e streamsHeartbeatRequest, ticket coordinator.Ticket, do *effects) *refusal {
	is := s.lookup(e.key)
	switch {
	case is == nil || is.isGone():
		return &refusal{kerr.GroupIDNotFound, notFound(e.key.id)}
	case is.streams == nil:
		return refused(kerr.GroupIDNotFound, "Group %s is not a streams group.", e.key.id)
	}
	if soft := s.streamsSoftOf(e.key); e.body.ShutdownApplication && soft.shutdownBy == "" {
		soft.shutdownBy = e.body.MemberID
	}
	if is.streams.members[e.body.MemberID] == nil {
		return refused(kerr.UnknownMemberID, "Member %s is not a member of group %s.", e.body.MemberID, e.key.id)
	}
	s.fenceStreams(e.key, e.body.MemberID, "it left", do)
	r := kmsg.NewPtrStreamsGroupHeartbeatResponse()
	r.MemberID, r.MemberEpoch, r.Status = e.body.MemberID, e.body.MemberEpoch, []kmsg.StreamsGroupHeartbeatResponseStatus{}
	do.reply(ticket, streamsHeartbeatAnswer{body: r})
	return nil
}

// fenceStreams takes a member out; the heartbeats of the others make another assignment.
func (s *shard) fenceStreams(key groupKey, id, reason string, do *effects) {
	g := s.streamsOf(key)
	if g == nil || g.members[id] == nil {
		if s.cancelStreams(key, id); g == nil {
			s.dropStreamsSoft(key)
		}
		return
	}
	s.cancelStreams(key, id)
	d := &streamsDraft{key: key, do: do, epoch: g.epoch + 1}
	d.note("streams group lost a member", "member", id, "reason", reason)
	do.write(consumerMemberTombstone(streamsCurrentKey, key, id), consumerMemberTombstone(streamsTargetMemberKey, key, id),
		consumerMemberTombstone(streamsMemberKey, key, id),
		streamsEpochRecord(key, streamsEpoch{g.epoch + 1, g.metadataHash, g.validated, g.configs}))
}
