package api

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// OffsetCommit, key 8, versions 2 to 10. Kafka: KafkaApis.handleOffsetCommitRequest, OffsetMetadataManager.commitOffset.
//
// From version 10 on topics are named by id. Offsets of topics that exist are committed, whatever becomes of the others. A
// topic without partitions is not answered.
//
// Deviation: topics are answered in the order of the request; Kafka puts the refused ones first.
func offsetCommit(s *Services, c *Call, r *kmsg.OffsetCommitRequest) kmsg.Response {
	if !s.allowedOnGroup(c, security.OperationRead, r.Group) {
		answer := group.CommitError(r, kerr.GroupAuthorizationFailed)
		answer.Version = r.Version
		return answer
	}
	answer := group.CommitError(r, nil)
	answer.Version = r.Version
	i := s.Metadata.Image()
	commit := *r
	commit.Topics = nil
	var places [][2]int // of what is committed in the answer: topic, partition
	for at, asked := range r.Topics {
		topic, fault := s.groupTopicOf(c, i, r.Version >= 10, asked.Topic, asked.TopicID, security.OperationRead)
		exists := kmsg.NewOffsetCommitRequestTopic()
		for n, p := range asked.Partitions {
			switch {
			case fault != nil:
				answer.Topics[at].Partitions[n].ErrorCode = fault.Code
			case topic.Partition(p.Partition) == nil:
				answer.Topics[at].Partitions[n].ErrorCode = kerr.UnknownTopicOrPartition.Code
			default:
				exists.Partitions = append(exists.Partitions, p)
				places = append(places, [2]int{at, n})
			}
		}
		if len(exists.Partitions) > 0 {
			exists.Topic, exists.TopicID = topic.Name, asked.TopicID
			commit.Topics = append(commit.Topics, exists)
		}
	}
	if len(places) > 0 {
		for _, t := range s.Groups.OffsetCommit(c.Context, groupCaller(c), &commit).Topics {
			for _, p := range t.Partitions {
				answer.Topics[places[0][0]].Partitions[places[0][1]].ErrorCode = p.ErrorCode
				places = places[1:]
			}
		}
	}
	answer.Topics = slices.DeleteFunc(answer.Topics, func(t kmsg.OffsetCommitResponseTopic) bool { return len(t.Partitions) == 0 })
	return answer
}

// groupTopicOf finds a topic that a group request names, by its id or by its name.
func (s *Services) groupTopicOf(c *Call, i *image.Image, byID bool, name string, id image.TopicID, op security.Operation) (*image.Topic, *kerr.Error) {
	if byID {
		t := i.TopicByID(id)
		if t == nil || t.Tenant != c.Identity.Tenant {
			return nil, kerr.UnknownTopicID
		}
		name = t.Name
	}
	if !s.Allowed(c, op, security.ResourceTopic, name) {
		return nil, kerr.TopicAuthorizationFailed
	}
	t := i.Topic(c.Identity.Tenant, name)
	if t == nil {
		return nil, kerr.UnknownTopicOrPartition
	}
	return t, nil
}
