package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/security"
)

// OffsetForLeaderEpoch (key 23), versions 2 to 4.
// Kafka: KafkaApis.handleOffsetForLeaderEpochRequest, Partition.lastOffsetForLeaderEpoch.

func offsetForLeaderEpoch(s *Services, c *Call, r *kmsg.OffsetForLeaderEpochRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
	everything := s.allowedOnCluster(c, security.OperationClusterAction)
	for _, t := range r.Topics {
		topic := kmsg.NewOffsetForLeaderEpochResponseTopic()
		topic.Topic = t.Topic
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

func (s *Services) endOffsetForEpoch(c *Call, topic string, asked kmsg.OffsetForLeaderEpochRequestTopicPartition) (epoch int32, endOffset int64, err error) {
	p, kafkaErr := s.Replicas.ByNameAt(c.Identity.Tenant, topic, asked.Partition, asked.CurrentLeaderEpoch)
	if kafkaErr != nil {
		return -1, -1, kafkaErr
	}
	return p.EndOffsetForEpoch(asked.LeaderEpoch)
}
