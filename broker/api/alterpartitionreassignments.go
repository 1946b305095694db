package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/security"
)

// AlterPartitionReassignments, key 45, versions 0 and 1 (KIP-455). Kafka: ControllerApis.handleAlterPartitionReassignments,
// ReplicationControlManager.alterPartitionReassignments.
//
// Null replicas end the reassignment of a partition that is under way. From version 1 on a client may say that the number
// of replicas is to stay as it is.
func alterPartitionReassignments(s *Services, c *Call, r *kmsg.AlterPartitionAssignmentsRequest) kmsg.Response {
	if !s.allowedOnCluster(c, security.OperationAlter) {
		code, message := s.outcome(kerr.ClusterAuthorizationFailed)
		return failedAnswer(r, code, message)
	}
	var wanted []controller.Reassignment
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			wanted = append(wanted, controller.Reassignment{Topic: t.Topic, Partition: p.Partition, Replicas: p.Replicas})
		}
	}
	answer := r.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
	answer.AllowReplicationFactorChange = r.AllowReplicationFactorChange
	answer.Topics = []kmsg.AlterPartitionAssignmentsResponseTopic{}
	if len(wanted) == 0 {
		answer.ErrorMessage = kmsg.StringPtr("") // as Kafka has it
		return answer
	}
	ctx, cancel := requestContext(c, r.TimeoutMillis)
	defer cancel()
	errs := s.Metadata.AlterReassignments(ctx, c.Identity.Tenant, wanted, r.Version == 0 || r.AllowReplicationFactorChange)
	for _, t := range r.Topics {
		topic := kmsg.AlterPartitionAssignmentsResponseTopic{Topic: t.Topic}
		for _, p := range t.Partitions {
			partition := kmsg.AlterPartitionAssignmentsResponseTopicPartition{Partition: p.Partition}
			partition.ErrorCode, partition.ErrorMessage = s.outcome(errs[0])
			errs = errs[1:]
			if partition.ErrorCode == kerr.NoReassignmentInProgress.Code {
				partition.ErrorMessage = nil // Kafka has no words for it
			}
			topic.Partitions = append(topic.Partitions, partition)
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer
}

func failedReassignments(r *kmsg.AlterPartitionAssignmentsRequest, answer *kmsg.AlterPartitionAssignmentsResponse, code int16, message *string) {
	answer.ErrorCode, answer.ErrorMessage = code, message
	answer.AllowReplicationFactorChange = r.AllowReplicationFactorChange
	for _, t := range r.Topics {
		topic := kmsg.AlterPartitionAssignmentsResponseTopic{Topic: t.Topic}
		for _, p := range t.Partitions {
			topic.Partitions = append(topic.Partitions, kmsg.AlterPartitionAssignmentsResponseTopicPartition{
				Partition: p.Partition, ErrorCode: code, ErrorMessage: message,
			})
		}
		answer.Topics = append(answer.Topics, topic)
	}
}
