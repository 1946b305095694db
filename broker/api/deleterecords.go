package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/security"
)

// DeleteRecords (key 21), versions 0 to 2.
// Kafka: KafkaApis.handleDeleteRecordsRequest, ReplicaManager.deleteRecords.

func deleteRecords(s *Services, c *Call, r *kmsg.DeleteRecordsRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.DeleteRecordsResponse)
	for _, t := range r.Topics {
		topic := kmsg.NewDeleteRecordsResponseTopic()
		topic.Topic = t.Topic
		for _, asked := range t.Partitions {
			p := kmsg.NewDeleteRecordsResponseTopicPartition()
			lowWatermark, err := s.deletePartitionRecords(c, t.Topic, asked)
			p.Partition, p.LowWatermark = asked.Partition, lowWatermark
			p.ErrorCode, _ = protocolError(err)
			topic.Partitions = append(topic.Partitions, p)
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer
}

func (s *Services) deletePartitionRecords(c *Call, topic string, asked kmsg.DeleteRecordsRequestTopicPartition) (lowWatermark int64, err error) {
	if !s.Allowed(c, security.OperationDelete, security.ResourceTopic, topic) {
		return -1, kerr.TopicAuthorizationFailed
	}
	p, kafkaErr := s.Replicas.ByName(c.Identity.Tenant, topic, asked.Partition)
	if kafkaErr != nil {
		return -1, kafkaErr
	}
	if p.Topic.Internal {
		return -1, kerr.InvalidTopicException
	}
	_, low, err := p.DeleteRecords(asked.Offset)
	return low, err
}
