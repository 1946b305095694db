package group

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group/topology"
)

// describeStreamsRequest asks for streams groups.
type describeStreamsRequest struct{ keys []groupKey }

func (s *shard) describeStreams(e describeStreamsRequest) []kmsg.StreamsGroupDescribeResponseGroup {
	described := make([]kmsg.StreamsGroupDescribeResponseGroup, 0, len(e.keys))
	for _, key := range e.keys {
		d := kmsg.NewStreamsGroupDescribeResponseGroup()
		d.Group = key.id
		if g := s.lookup(key); g != nil && g.streams != nil {
			s.describeStreamsGroup(key, g.streams, &d)
		} else {
			message := notFound(key.id)
			if g != nil && !g.isGone() {
				message = fmt.Sprintf("Group %s is not a streams group.", key.id)
			}
			d.ErrorCode, d.ErrorMessage = kerr.GroupIDNotFound.Code, &message
		}
		described = append(described, d)
	}
	return described
}

func (s *shard) describeStreamsGroup(key groupKey, g *streamsGroup, d *kmsg.StreamsGroupDescribeResponseGroup) {
	d.State, d.Epoch, d.AssignmentEpoch = g.state().String(), g.epoch, g.assignmentEpoch
	if g.topology != nil {
		d.Topology = describeTopology(g.topology)
	}
	if soft := s.streams[key]; soft != nil && soft.configured != nil && soft.configured.Ready() && d.Topology != nil {
		d.Topology.Subtopologies = nil
		for i := range soft.configured.Subtopologies {
			d.Topology.Subtopologies = append(d.Topology.Subtopologies, describeSubtopology(&soft.configured.Subtopologies[i].Subtopology))
		}
	}
	for _, id := range sortedKeys(g.members) {
		m := g.members[id]
		x := kmsg.NewStreamsGroupDescribeResponseGroupMember()
		x.MemberID, x.MemberEpoch, x.InstanceID, x.RackID, x.ClientID, x.ClientHost = id, m.epoch, m.instanceID, m.rackID, m.clientID, m.clientHost
		x.TopologyEpoch, x.ProcessID = m.topologyEpoch, m.processID
		if m.endpoint != nil {
			x.UserEndpoint = &kmsg.StreamsGroupDescribeResponseGroupMemberUserEndpoint{Host: m.endpoint.host, Port: m.endpoint.port}
		}
		for _, name := range sortedKeys(m.tags) {
			x.ClientTags = append(x.ClientTags, kmsg.StreamsGroupDescribeResponseGroupMemberClientTag{Key: name, Value: m.tags[name]})
		}
		x.Assignment, x.TargetAssignment = describeTasks(m.assigned), describeTasks(g.target[id])
		d.Members = append(d.Members, x)
	}
}

func describeTasks(t tasks) kmsg.StreamsAssignment {
	return kmsg.StreamsAssignment{ActiveTasks: told(t.active), StandbyTasks: told(t.standby), WarmupTasks: told(t.warmup)}
}

func describeTopology(t *topology.Topology) *kmsg.StreamsGroupDescribeResponseGroupTopology {
	d := kmsg.NewStreamsGroupDescribeResponseGroupTopology()
	d.Epoch = t.Epoch
	for i := range t.Subtopologies {
		d.Subtopologies = append(d.Subtopologies, describeSubtopology(&t.Subtopologies[i]))
	}
	return &d
}

func describeSubtopology(s *topology.Subtopology) kmsg.StreamsGroupDescribeResponseGroupTopologySubtopology {
	d := kmsg.NewStreamsGroupDescribeResponseGroupTopologySubtopology()
	d.SubtopologyID = s.ID
	d.SourceTopics, d.RepartitionSinkTopics = slices.Sorted(slices.Values(s.Sources)), slices.Sorted(slices.Values(s.RepartitionSinks))
	d.StateChangelogTopics, d.RepartitionSourceTopics = describeInternal(s.Changelogs), describeInternal(s.RepartitionSources)
	return d
}

func describeInternal(topics []topology.Topic) []kmsg.TopicInfo {
	all := []kmsg.TopicInfo{}
	for _, t := range topics {
		d := kmsg.NewTopicInfo()
		d.Topic, d.NumPartitions, d.ReplicationFactor = t.Name, t.Partitions, t.ReplicationFactor
		for _, c := range t.Configs {
			d.Configs = append(d.Configs, kmsg.TopicInfoConfig{Key: c.Name, Value: c.Value})
		}
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b kmsg.TopicInfo) int { return strings.Compare(a.Topic, b.Topic) })
	return all
}
