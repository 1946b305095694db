package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/share/state"
	"github.com/millrace-io/millrace/security"
)

// The APIs by which leaders of partitions and group coordinators speak with the share coordinator, keys 83 to 87. Kafka:
// KafkaApis.handleInitializeShareGroupStateRequest and so on, ShareCoordinatorService. They are for brokers: who calls must be
// allowed ClusterAction.

func (s *Services) allowedOnShareState(c *Call) bool {
	return s.allowedOnCluster(c, security.OperationClusterAction)
}

func initializeShareGroupState(s *Services, c *Call, r *kmsg.InitializeShareGroupStateRequest) kmsg.Response {
	if s.allowedOnShareState(c) {
		return s.ShareStates.InitializeShareGroupState(c.Context, r)
	}
	answer := r.ResponseKind().(*kmsg.InitializeShareGroupStateResponse)
	for _, t := range r.Topics {
		topic := kmsg.InitializeShareGroupStateResponseTopic{TopicID: t.TopicID}
		for _, p := range t.Partitions {
			topic.Partitions = append(topic.Partitions, kmsg.InitializeShareGroupStateResponseTopicPartition{Partition: p.Partition,
				ErrorCode: kerr.ClusterAuthorizationFailed.Code, ErrorMessage: &kerr.ClusterAuthorizationFailed.Description})
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer
}

func readShareGroupState(s *Services, c *Call, r *kmsg.ReadShareGroupStateRequest) kmsg.Response {
	if s.allowedOnShareState(c) {
		return s.ShareStates.ReadShareGroupState(c.Context, r)
	}
	answer := r.ResponseKind().(*kmsg.ReadShareGroupStateResponse)
	for _, t := range r.Topics {
		topic := kmsg.ReadShareGroupStateResponseTopic{TopicID: t.TopicID}
		for _, p := range t.Partitions {
			topic.Partitions = append(topic.Partitions, kmsg.ReadShareGroupStateResponseTopicPartition{Partition: p.Partition,
				ErrorCode: kerr.ClusterAuthorizationFailed.Code, ErrorMessage: &kerr.ClusterAuthorizationFailed.Description})
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer
}

func writeShareGroupState(s *Services, c *Call, r *kmsg.WriteShareGroupStateRequest) kmsg.Response {
	if s.allowedOnShareState(c) {
		return s.ShareStates.WriteShareGroupState(c.Context, r)
	}
	answer := r.ResponseKind().(*kmsg.WriteShareGroupStateResponse)
	for _, t := range r.Topics {
		topic := kmsg.WriteShareGroupStateResponseTopic{TopicID: t.TopicID}
		for _, p := range t.Partitions {
			topic.Partitions = append(topic.Partitions, kmsg.WriteShareGroupStateResponseTopicPartition{Partition: p.Partition,
				ErrorCode: kerr.ClusterAuthorizationFailed.Code, ErrorMessage: &kerr.ClusterAuthorizationFailed.Description})
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer
}

func deleteShareGroupState(s *Services, c *Call, r *kmsg.DeleteShareGroupStateRequest) kmsg.Response {
	if s.allowedOnShareState(c) {
		return s.ShareStates.DeleteShareGroupState(c.Context, r)
	}
	answer := r.ResponseKind().(*kmsg.DeleteShareGroupStateResponse)
	for _, t := range r.Topics {
		topic := kmsg.DeleteShareGroupStateResponseTopic{TopicID: t.TopicID}
		for _, p := range t.Partitions {
			topic.Partitions = append(topic.Partitions, kmsg.DeleteShareGroupStateResponseTopicPartition{Partition: p.Partition,
				ErrorCode: kerr.ClusterAuthorizationFailed.Code, ErrorMessage: &kerr.ClusterAuthorizationFailed.Description})
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer
}

func readShareGroupStateSummary(s *Services, c *Call, r *kmsg.ReadShareGroupStateSummaryRequest) kmsg.Response {
	if s.allowedOnShareState(c) {
		return s.ShareStates.ReadShareGroupStateSummary(c.Context, r)
	}
	answer := r.ResponseKind().(*kmsg.ReadShareGroupStateSummaryResponse)
	for _, t := range r.Topics {
		topic := kmsg.ReadShareGroupStateSummaryResponseTopic{TopicID: t.TopicID}
		for _, p := range t.Partitions {
			topic.Partitions = append(topic.Partitions, kmsg.ReadShareGroupStateSummaryResponseTopicPartition{Partition: p.Partition, StartOffset: -1,
				DeliveryCompleteCount: -1, ErrorCode: kerr.ClusterAuthorizationFailed.Code, ErrorMessage: &kerr.ClusterAuthorizationFailed.Description})
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer
}

// ShareStateLeader is the broker that coordinates a share partition. __share_group_state is created where it does not exist.
func (s *Services) ShareStateLeader(ctx context.Context, k state.Key) (nodeID int32, ok bool) {
	leader, fault := s.leaderOf(s.internalTopic(ctx, shareGroupStateTopic), s.ShareStates.PartitionFor(k))
	return leader, fault == nil
}

// shareCoordinator answers FindCoordinator: the key is group:topic id:partition.
func (s *Services) shareCoordinator(c *Call, key string) (int32, *kerr.Error) {
	k, ok := state.ParseKey(key)
	switch {
	case !s.allowedOnShareState(c):
		return 0, kerr.ClusterAuthorizationFailed
	case !ok || !s.shareGroupsEnabled():
		return 0, kerr.InvalidRequest
	}
	return s.leaderOf(s.internalTopic(c.Context, shareGroupStateTopic), s.ShareStates.PartitionFor(k))
}
