package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/security"
)

// OffsetDelete, key 47, version 0. Kafka: KafkaApis.handleOffsetDeleteRequest, OffsetMetadataManager.deleteOffsets.
//
// The topics that the coordinator is not asked about come first in the answer, as in Kafka.
func offsetDelete(s *Services, c *Call, r *kmsg.OffsetDeleteRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.OffsetDeleteResponse)
	if !s.allowedOnGroup(c, security.OperationDelete, r.Group) {
		answer.ErrorCode = kerr.GroupAuthorizationFailed.Code
		return answer
	}
	ask := *r
	ask.Topics = nil
	i := s.Metadata.Image()
	for _, asked := range r.Topics {
		topic, fault := s.groupTopicOf(c, i, false, asked.Topic, [16]byte{}, security.OperationRead)
		exists := kmsg.NewOffsetDeleteRequestTopic()
		refused := kmsg.NewOffsetDeleteResponseTopic()
		exists.Topic, refused.Topic = asked.Topic, asked.Topic
		for _, p := range asked.Partitions {
			x := kmsg.NewOffsetDeleteResponseTopicPartition()
			x.Partition = p.Partition
			switch {
			case fault != nil:
				x.ErrorCode = fault.Code
				refused.Partitions = append(refused.Partitions, x)
			case topic.Partition(p.Partition) == nil:
				x.ErrorCode = kerr.UnknownTopicOrPartition.Code
				refused.Partitions = append(refused.Partitions, x)
			default:
				exists.Partitions = append(exists.Partitions, p)
			}
		}
		if len(exists.Partitions) > 0 {
			ask.Topics = append(ask.Topics, exists)
		}
		if len(refused.Partitions) > 0 {
			answer.Topics = append(answer.Topics, refused)
		}
	}
	told := s.Groups.OffsetDelete(c.Context, groupCaller(c), &ask)
	if told.ErrorCode != 0 {
		return told // the group is the matter: nothing is said of topics
	}
	for _, t := range told.Topics {
		answer.Topics = addDeleted(answer.Topics, t)
	}
	return answer
}

// addDeleted keeps the partitions of one topic together.
func addDeleted(topics []kmsg.OffsetDeleteResponseTopic, t kmsg.OffsetDeleteResponseTopic) []kmsg.OffsetDeleteResponseTopic {
	for i := range topics {
		if topics[i].Topic == t.Topic {
			topics[i].Partitions = append(topics[i].Partitions, t.Partitions...)
			return topics
		}
	}
	return append(topics, t)
}
