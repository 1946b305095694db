package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// OffsetFetch, key 9, versions 1 to 10. Kafka: KafkaApis.handleOffsetFetchRequest, OffsetMetadataManager.fetchOffsets.
//
// Version 8 asks for several groups; from version 10 on topics are named by id. An offset of a topic that does not exist
// any more is told to who asks by name.
func offsetFetch(s *Services, c *Call, r *kmsg.OffsetFetchRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.OffsetFetchResponse)
	if r.Version < 8 {
		g := s.fetchOffsets(c, r, oldOffsetFetch(r))
		answerOldOffsetFetch(r, &g, answer)
		return answer
	}
	for i := range r.Groups {
		answer.Groups = append(answer.Groups, s.fetchOffsets(c, r, &r.Groups[i]))
	}
	return answer
}

// oldOffsetFetch is a request for one group in the form of version 8.
func oldOffsetFetch(r *kmsg.OffsetFetchRequest) *kmsg.OffsetFetchRequestGroup {
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = r.Group
	if r.Topics != nil || r.Version < 2 { // version 2 brought null: all topics
		g.Topics = []kmsg.OffsetFetchRequestGroupTopic{}
	}
	for _, t := range r.Topics {
		x := kmsg.NewOffsetFetchRequestGroupTopic()
		x.Topic, x.Partitions = t.Topic, t.Partitions
		g.Topics = append(g.Topics, x)
	}
	return &g
}

// answerOldOffsetFetch puts the answer for one group into the form of versions before 8. Version 1 has no place for an
// error but at each partition.
func answerOldOffsetFetch(r *kmsg.OffsetFetchRequest, g *kmsg.OffsetFetchResponseGroup, answer *kmsg.OffsetFetchResponse) {
	answer.ErrorCode = g.ErrorCode
	if g.ErrorCode != 0 && r.Version < 2 {
		g = failedPartitions(r, g.ErrorCode)
	}
	for _, t := range g.Topics {
		x := kmsg.NewOffsetFetchResponseTopic()
		x.Topic = t.Topic
		for _, p := range t.Partitions {
			y := kmsg.NewOffsetFetchResponseTopicPartition()
			y.Partition, y.Offset, y.LeaderEpoch, y.Metadata, y.ErrorCode = p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode
			x.Partitions = append(x.Partitions, y)
		}
		answer.Topics = append(answer.Topics, x)
	}
}

func failedPartitions(r *kmsg.OffsetFetchRequest, code int16) *kmsg.OffsetFetchResponseGroup {
	g := kmsg.NewOffsetFetchResponseGroup()
	for _, t := range r.Topics {
		x := kmsg.NewOffsetFetchResponseGroupTopic()
		x.Topic = t.Topic
		x.Partitions = noOffsets(t.Partitions, code)
		g.Topics = append(g.Topics, x)
	}
	return &g
}

func noOffsets(partitions []int32, code int16) []kmsg.OffsetFetchResponseGroupTopicPartition {
	var none []kmsg.OffsetFetchResponseGroupTopicPartition
	for _, partition := range partitions {
		p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode = partition, -1, -1, kmsg.StringPtr(""), code
		none = append(none, p)
	}
	return none
}

// fetchOffsets asks the coordinator for one group, about the topics that the caller may know of.
func (s *Services) fetchOffsets(c *Call, whole *kmsg.OffsetFetchRequest, r *kmsg.OffsetFetchRequestGroup) kmsg.OffsetFetchResponseGroup {
	if !s.allowedOnGroup(c, security.OperationDescribe, r.Group) {
		g := kmsg.NewOffsetFetchResponseGroup()
		g.Group, g.ErrorCode = r.Group, kerr.GroupAuthorizationFailed.Code
		return g
	}
	if r.Topics == nil {
		return s.fetchAllOffsets(c, whole, r)
	}
	i := s.Metadata.Image()
	ask := *r
	ask.Topics = []kmsg.OffsetFetchRequestGroupTopic{}
	var refused []kmsg.OffsetFetchResponseGroupTopic
	for _, t := range r.Topics {
		fault := s.nameFetched(c, i, whole.Version, &t)
		if fault == nil {
			ask.Topics = append(ask.Topics, t)
			continue
		}
		x := kmsg.NewOffsetFetchResponseGroupTopic()
		x.Topic, x.TopicID, x.Partitions = t.Topic, t.TopicID, noOffsets(t.Partitions, fault.Code)
		refused = append(refused, x)
	}
	g := s.Groups.OffsetFetch(c.Context, groupCaller(c), &ask, whole.RequireStable)
	if g.ErrorCode == 0 {
		g.Topics = append(g.Topics, refused...)
	}
	return g
}

// nameFetched fills in the name of a topic that is asked for by its id.
func (s *Services) nameFetched(c *Call, i *image.Image, version int16, t *kmsg.OffsetFetchRequestGroupTopic) *kerr.Error {
	if version >= 10 {
		topic := i.TopicByID(t.TopicID)
		if topic == nil || topic.Tenant != c.Identity.Tenant {
			return kerr.UnknownTopicID
		}
		t.Topic = topic.Name
	}
	if !s.Allowed(c, security.OperationDescribe, security.ResourceTopic, t.Topic) {
		return kerr.TopicAuthorizationFailed
	}
	return nil
}

// fetchAllOffsets leaves out what the caller may not see, and, where topics are named by id, those that have none any more.
func (s *Services) fetchAllOffsets(c *Call, whole *kmsg.OffsetFetchRequest, r *kmsg.OffsetFetchRequestGroup) kmsg.OffsetFetchResponseGroup {
	g := s.Groups.OffsetFetch(c.Context, groupCaller(c), r, whole.RequireStable)
	i := s.Metadata.Image()
	visible := g.Topics[:0]
	for _, t := range g.Topics {
		if !s.Allowed(c, security.OperationDescribe, security.ResourceTopic, t.Topic) {
			continue
		}
		if whole.Version >= 10 {
			topic := i.Topic(c.Identity.Tenant, t.Topic)
			if topic == nil {
				continue
			}
			t.TopicID = topic.ID
		}
		visible = append(visible, t)
	}
	g.Topics = visible
	return g
}
