package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// OffsetForLeaderEpoch (key 23), versions 2 to 4.
// Kafka: KafkaApis.handleOffsetForLeaderEpochRequest, Partition.lastOffsetForLeaderEpoch.
//
// A broker that leads a partition asks by a tagged field whether this one follows it (replica.Manager.Confirm).

func offsetForLeaderEpoch(s *Services, c *Call, r *kmsg.OffsetForLeaderEpochRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
	everything := s.allowedOnCluster(c, security.OperationClusterAction)
	for _, t := range r.Topics {
		topic := kmsg.NewOffsetForLeaderEpochResponseTopic()
		topic.Topic = t.Topic
		if id, ok := replica.AskedTopic(&t); ok && s.isInternal(c.Peer) {
			answer.Topics = append(answer.Topics, s.followsIn(id, t.Partitions))
			continue
		}
		allowed := everything || s.Allowed(c, security.OperationDescribe, security.ResourceTopic, t.Topic)
		for _, asked := range t.Partitions {
			p := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			p.Partition, p.LeaderEpoch, p.EndOffset = asked.Partition, -1, -1
			err := error(kerr.TopicAuthorizationFailed)
			if allowed {
				p.LeaderEpoch, p.EndOffset, err = s.endOffsetForEpoch(c, t.Topic, asked)
			}
			p.ErrorCode, _ = protocolError(err)
			topic.Partitions = append(topic.Partitions, p)
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer
}

// followsIn tells a broker whether this one follows it in some partitions of a topic.
func (s *Services) followsIn(id image.TopicID, partitions []kmsg.OffsetForLeaderEpochRequestTopicPartition) kmsg.OffsetForLeaderEpochResponseTopic {
	topic := kmsg.NewOffsetForLeaderEpochResponseTopic()
	for _, asked := range partitions {
		p := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
		p.Partition, p.LeaderEpoch, p.EndOffset = asked.Partition, -1, -1
		p.ErrorCode = s.Replicas.FollowsIn(id, asked.Partition, asked.CurrentLeaderEpoch).Code
		topic.Partitions = append(topic.Partitions, p)
	}
	return topic
}

func (s *Services) endOffsetForEpoch(c *Call, topic string, asked kmsg.OffsetForLeaderEpochRequestTopicPartition) (epoch int32, endOffset int64, err error) {
	p, kafkaErr := s.Replicas.ByNameAt(c.Identity.Tenant, topic, asked.Partition, asked.CurrentLeaderEpoch)
	if kafkaErr != nil {
		return -1, -1, kafkaErr
	}
	return p.EndOffsetForEpoch(asked.LeaderEpoch)
}
