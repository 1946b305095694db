package group

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group/assignor"
)

// describeSharesRequest asks for share groups.
type describeSharesRequest struct{ keys []groupKey }

func (s *shard) describeShares(e describeSharesRequest) []kmsg.ShareGroupDescribeResponseGroup {
	described := make([]kmsg.ShareGroupDescribeResponseGroup, 0, len(e.keys))
	for _, key := range e.keys {
		d := kmsg.NewShareGroupDescribeResponseGroup()
		d.GroupID = key.id
		if g := s.lookup(key); g != nil && g.share != nil {
			s.describeShare(g.share, &d)
		} else {
			message := notFound(key.id)
			if g != nil && !g.isGone() {
				message = fmt.Sprintf("Group %s is not a share group.", key.id)
			}
			d.ErrorCode, d.ErrorMessage, d.GroupState = kerr.GroupIDNotFound.Code, &message, ""
		}
		described = append(described, d)
	}
	return described
}

func (s *shard) describeShare(g *shareGroup, d *kmsg.ShareGroupDescribeResponseGroup) {
	d.GroupState, d.GroupEpoch, d.AssignmentEpoch, d.Assignor = g.state(), g.epoch, g.assignmentEpoch, "simple"
	for _, id := range sortedKeys(g.members) {
		m := g.members[id]
		x := kmsg.NewShareGroupDescribeResponseGroupMember()
		x.MemberID, x.RackID, x.MemberEpoch, x.ClientID, x.ClientHost = id, m.rackID, m.epoch, m.clientID, m.clientHost
		x.SubscribedTopicNames = m.topics
		x.Assignment.TopicPartitions = s.describeShareAssignment(m.assigned)
		d.Members = append(d.Members, x)
	}
}

// describeShareAssignment leaves out topics that are gone.
func (s *shard) describeShareAssignment(all assignor.Partitions) []kmsg.ShareGroupDescribeResponseGroupMemberAssignmentTopicPartition {
	var described []kmsg.ShareGroupDescribeResponseGroupMemberAssignmentTopicPartition
	for _, id := range sortedIDs(all) {
		if t, ok := s.topics().TopicByID(id); ok {
			described = append(described, kmsg.ShareGroupDescribeResponseGroupMemberAssignmentTopicPartition{TopicID: id, Topic: t.Name, Partitions: all[id]})
		}
	}
	return described
}
