package api

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// The kinds of coordinator that clients look for.
const (
	coordinatorOfGroup       = 0
	coordinatorOfTransaction = 1
	coordinatorOfShare       = 2
)

// coordinatorTopicWait is how long the first FindCoordinator of a cluster waits for its internal topic.
const coordinatorTopicWait = 2 * time.Second

// FindCoordinator, key 10, versions 0 to 6. Kafka: KafkaApis.handleFindCoordinatorRequest.
//
// Deviation: where __consumer_offsets does not exist, the answer waits for its creation, so that the first consumer of a
// cluster need not ask again, and so it is with __transaction_state and __share_group_state; Kafka answers
// COORDINATOR_NOT_AVAILABLE at once.
func findCoordinator(s *Services, c *Call, r *kmsg.FindCoordinatorRequest) kmsg.Response {
	answer := s.findCoordinators(c, r)
	if !s.confirmed(c, coordinatorsIn(answer)) {
		answer = s.findCoordinators(c, r)
	}
	return answer
}

// coordinatorsIn returns the brokers that the answer names, each once.
func coordinatorsIn(answer *kmsg.FindCoordinatorResponse) (brokers []int32) {
	if answer.Version < 4 && answer.ErrorCode == 0 {
		return []int32{answer.NodeID}
	}
	seen := map[int32]bool{}
	for _, found := range answer.Coordinators {
		if found.ErrorCode == 0 && !seen[found.NodeID] {
			seen[found.NodeID] = true
			brokers = append(brokers, found.NodeID)
		}
	}
	return brokers
}

// findCoordinators answers from the image.
func (s *Services) findCoordinators(c *Call, r *kmsg.FindCoordinatorRequest) *kmsg.FindCoordinatorResponse {
	answer := r.ResponseKind().(*kmsg.FindCoordinatorResponse)
	keyType := r.CoordinatorType
	if r.Version == 0 {
		keyType = coordinatorOfGroup
	}
	if r.Version < 4 {
		found := s.findCoordinator(c, r.Version, keyType, r.CoordinatorKey)
		answer.ErrorCode, answer.ErrorMessage = found.ErrorCode, found.ErrorMessage
		answer.NodeID, answer.Host, answer.Port = found.NodeID, found.Host, found.Port
		if found.ErrorCode == 0 {
			answer.ErrorMessage = kmsg.StringPtr("NONE") // Kafka says so
		}
		return answer
	}
	for _, key := range r.CoordinatorKeys {
		found := s.findCoordinator(c, r.Version, keyType, key)
		if keyType >= coordinatorOfGroup && keyType <= coordinatorOfShare {
			found.ErrorMessage = kmsg.StringPtr("") // Kafka explains kinds that do not exist, and nothing else
		}
		answer.Coordinators = append(answer.Coordinators, found)
	}
	return answer
}

func (s *Services) findCoordinator(c *Call, version int16, keyType int8, key string) kmsg.FindCoordinatorResponseCoordinator {
	found := kmsg.NewFindCoordinatorResponseCoordinator()
	found.Key = key
	leader, fault := s.coordinator(c, keyType, key)
	if fault == nil {
		found.NodeID = leader
		if found.Host, found.Port = s.Endpoint(c, leader); found.Port == 0 {
			fault = kerr.CoordinatorNotAvailable
		}
	}
	if fault != nil {
		found.NodeID, found.Host, found.Port = -1, "", -1
		found.ErrorCode, found.ErrorMessage = fault.Code, &fault.Description
	}
	return found
}

// coordinator returns the broker that coordinates the key.
func (s *Services) coordinator(c *Call, keyType int8, key string) (int32, *kerr.Error) {
	switch {
	case keyType == coordinatorOfTransaction && !s.Allowed(c, security.OperationDescribe, security.ResourceTransactionalID, key):
		return 0, kerr.TransactionalIDAuthorizationFailed
	case keyType == coordinatorOfTransaction:
		topic := s.internalTopic(c.Context, transactionStateTopic)
		return s.leaderOf(topic, s.TransactionCoordinator.PartitionFor(c.Identity.Tenant, key))
	case keyType == coordinatorOfShare:
		return s.shareCoordinator(c, key)
	case keyType != coordinatorOfGroup:
		return 0, kerr.InvalidRequest
	case !s.Allowed(c, security.OperationDescribe, security.ResourceGroup, key):
		return 0, kerr.GroupAuthorizationFailed
	}
	topic := s.internalTopic(c.Context, groupMetadataTopic)
	return s.leaderOf(topic, s.Groups.PartitionFor(c.Identity.Tenant, key))
}

// leaderOf returns the broker that leads a partition of an internal topic, which is nil while it does not exist.
func (s *Services) leaderOf(topic *image.Topic, partition int32) (int32, *kerr.Error) {
	if topic == nil {
		return 0, kerr.CoordinatorNotAvailable
	}
	p := topic.Partition(partition)
	if p == nil {
		return 0, kerr.CoordinatorNotAvailable
	}
	if leader := s.Metadata.Image().Broker(p.Leader); leader == nil || leader.Fenced {
		return 0, kerr.CoordinatorNotAvailable
	}
	return p.Leader, nil
}

// internalTopic returns an internal topic, which it has created if need be; nil when that takes too long.
func (s *Services) internalTopic(ctx context.Context, name string) *image.Topic {
	find := func() *image.Topic { return s.Metadata.Image().Topic(security.DefaultTenant, name) }
	if topic := find(); topic != nil {
		return topic
	}
	creation := s.autoCreate(security.DefaultTenant, []string{name})[name]
	if creation == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, coordinatorTopicWait)
	defer cancel()
	select {
	case <-creation.done:
	case <-ctx.Done():
	}
	return find()
}
