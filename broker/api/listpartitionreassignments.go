package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/security"
)

// ListPartitionReassignments, key 46, version 0 (KIP-455). Kafka: ControllerApis.handleListPartitionReassignments,
// ReplicationControlManager.listPartitionReassignments.
//
// Null topics stand for all. Moves that the controller began by itself, to balance or to drain a broker, are shown, too.
func listPartitionReassignments(s *Services, c *Call, r *kmsg.ListPartitionReassignmentsRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse)
	if !s.allowedOnCluster(c, security.OperationDescribe) {
		answer.ErrorCode, answer.ErrorMessage = s.outcome(kerr.ClusterAuthorizationFailed)
		return answer
	}
	var of []controller.TopicPartitions
	if r.Topics != nil {
		of = make([]controller.TopicPartitions, len(r.Topics))
	}
	for i, t := range r.Topics {
		of[i] = controller.TopicPartitions{Topic: t.Topic, Partitions: t.Partitions}
	}
	ongoing, err := s.Metadata.ListReassignments(c.Context, c.Identity.Tenant, of)
	answer.ErrorCode, answer.ErrorMessage = s.outcome(err)
	for _, one := range ongoing {
		if last := len(answer.Topics) - 1; last < 0 || answer.Topics[last].Topic != one.Topic {
			answer.Topics = append(answer.Topics, kmsg.ListPartitionReassignmentsResponseTopic{Topic: one.Topic})
		}
		topic := &answer.Topics[len(answer.Topics)-1]
		topic.Partitions = append(topic.Partitions, kmsg.ListPartitionReassignmentsResponseTopicPartition{
			Partition: one.Partition, Replicas: one.Replicas, AddingReplicas: one.AddingReplicas, RemovingReplicas: one.RemovingReplicas,
		})
	}
	return answer
}
