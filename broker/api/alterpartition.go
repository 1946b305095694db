package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
)

// AlterPartition, key 56, versions 2 and 3 (KIP-497, KIP-903). Kafka: ControllerApis.handleAlterPartitionRequest,
// ReplicationControlManager.alterPartition. Spoken between brokers only.
//
// Version 2 names the members of an in-sync set without the epochs of their brokers, which are then not checked.
func alterPartition(s *Services, c *Call, r *kmsg.AlterPartitionRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.AlterPartitionResponse)
	if !speaksFor(c, r.BrokerID) {
		answer.ErrorCode = kerr.ClusterAuthorizationFailed.Code
		return answer
	}
	ctx, cancel := requestContext(c, 0)
	defer cancel()
	outcomes, err := s.Metadata.AlterPartitions(ctx, r.BrokerID, r.BrokerEpoch, isrChanges(r))
	if err != nil {
		answer.ErrorCode, _ = s.outcome(err)
		return answer
	}
	for _, t := range r.Topics {
		topic := kmsg.AlterPartitionResponseTopic{TopidID: t.TopicID}
		for range t.Partitions {
			topic.Partitions = append(topic.Partitions, s.isrOutcome(outcomes[0]))
			outcomes = outcomes[1:]
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer
}

func isrChanges(r *kmsg.AlterPartitionRequest) []controller.ISRChange {
	var changes []controller.ISRChange
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			change := controller.ISRChange{
				TopicID: t.TopicID, Partition: p.Partition, LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch,
				RecoveryState: image.RecoveryState(p.LeaderRecoveryState),
			}
			for _, id := range p.NewISR {
				change.ISR = append(change.ISR, controller.ISRMember{ID: id, BrokerEpoch: -1})
			}
			for _, member := range p.NewEpochISR {
				change.ISR = append(change.ISR, controller.ISRMember{ID: member.BrokerID, BrokerEpoch: member.BrokerEpoch})
			}
			changes = append(changes, change)
		}
	}
	return changes
}

func (s *Services) isrOutcome(outcome controller.ISROutcome) kmsg.AlterPartitionResponseTopicPartition {
	p := kmsg.AlterPartitionResponseTopicPartition{Partition: outcome.Partition}
	if outcome.Err != nil {
		p.ErrorCode, _ = s.outcome(outcome.Err)
		return p
	}
	p.LeaderID, p.LeaderEpoch, p.PartitionEpoch = outcome.Leader, outcome.LeaderEpoch, outcome.PartitionEpoch
	p.ISR, p.LeaderRecoveryState = outcome.ISR, int8(outcome.RecoveryState)
	return p
}
