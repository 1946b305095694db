package group

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group/assignor"
)

// describeConsumersRequest asks for groups of the consumer protocol; version is of ConsumerGroupDescribe.
type describeConsumersRequest struct{ keys []groupKey }

func (s *shard) describeConsumers(e describeConsumersRequest, now time.Time) []kmsg.ConsumerGroupDescribeResponseGroup {
	described := make([]kmsg.ConsumerGroupDescribeResponseGroup, 0, len(e.keys))
	for _, key := range e.keys {
		d := kmsg.NewConsumerGroupDescribeResponseGroup()
		d.Group = key.id
		g := s.lookup(key)
		switch {
		case g == nil:
			message := notFound(key.id)
			d.ErrorCode, d.ErrorMessage = kerr.GroupIDNotFound.Code, &message
		case g.consumer == nil:
			message := fmt.Sprintf("Group %s is not a consumer group.", key.id)
			d.ErrorCode, d.ErrorMessage = kerr.GroupIDNotFound.Code, &message
		default:
			s.describeConsumer(g, &d, now)
		}
		described = append(described, d)
	}
	return described
}

func (s *shard) describeConsumer(g *group, d *kmsg.ConsumerGroupDescribeResponseGroup, now time.Time) {
	c := g.consumer
	draft := s.draft(g.key, c, now, &effects{})
	d.State, d.Epoch, d.AssignmentEpoch = c.state().String(), c.epoch, c.assignmentEpoch
	d.AssignorName = draft.assignorName(draft.all())
	for _, id := range sortedMembers(c) {
		m := c.members[id]
		x := kmsg.NewConsumerGroupDescribeResponseGroupMember()
		x.MemberID, x.InstanceID, x.RackID, x.MemberEpoch, x.ClientID, x.ClientHost = m.id, m.instanceID, m.rackID, m.epoch, m.clientID, m.clientHost
		x.SubscribedTopics, x.SubscribedTopicRegex = m.topics, &m.regex
		x.MemberType = 1
		if m.classic != nil {
			x.MemberType = 0
		}
		x.Assignment.TopicPartitions = s.describeAssignment(m.assigned.partitions())
		x.TargetAssignment.TopicPartitions = s.describeAssignment(c.target[id])
		d.Members = append(d.Members, x)
	}
}

// describeAssignment leaves out topics that are gone.
func (s *shard) describeAssignment(p assignor.Partitions) []kmsg.AssignmentTopicPartition {
	var described []kmsg.AssignmentTopicPartition
	for _, id := range sortedIDs(p) {
		if t, ok := s.topics().TopicByID(id); ok {
			x := kmsg.NewAssignmentTopicPartition()
			x.TopicID, x.Topic, x.Partitions = id, t.Name, p[id]
			described = append(described, x)
		}
	}
	return described
}

func sortedMembers(c *consumerGroup) []string { return sortedKeys(c.members) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
