package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/security"
)

// UnregisterBroker, key 64, version 0 (KIP-631). Kafka: ControllerApis.handleUnregisterBroker.
//
// A node that has stopped and has no vote is forgotten by the metadata quorum, too.
//
// Deviations: the answer has the reason in words; Kafka sends the code alone. The only broker of a cluster stays: without it
// every partition is without a leader, and there is nobody to come back to.
func unregisterBroker(s *Services, c *Call, r *kmsg.UnregisterBrokerRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.UnregisterBrokerResponse)
	if !s.allowedOnCluster(c, security.OperationAlter) {
		answer.ErrorCode, answer.ErrorMessage = s.outcome(kerr.ClusterAuthorizationFailed)
		return answer
	}
	if s.onlyBroker(r.BrokerID) {
		answer.ErrorCode, answer.ErrorMessage = s.outcome(refuse(kerr.InvalidRequest, "It is the only broker of the cluster"))
		return answer
	}
	ctx, cancel := requestContext(c, 0)
	defer cancel()
	before := s.Metadata.Image().Broker(r.BrokerID)
	err := s.Metadata.UnregisterBroker(ctx, r.BrokerID)
	if err == nil && before != nil && before.Fenced {
		s.forgetMember(ctx, r.BrokerID)
	}
	answer.ErrorCode, answer.ErrorMessage = s.outcome(err)
	return answer
}

// forgetMember leaves a voter alone: taking a vote is a decision of its own.
func (s *Services) forgetMember(ctx context.Context, id int32) {
	quorum := s.Metadata.Quorum()
	_, votes := memberOf(quorum.Voters, id, [16]byte{})
	if _, follows := memberOf(quorum.Observers, id, [16]byte{}); votes || !follows {
		return
	}
	if err := s.Metadata.ForgetMember(ctx, id); err != nil {
		s.Logger.Warn("the metadata quorum still has a member of the unregistered broker", "broker", id, "error", err)
	}
}

func (s *Services) onlyBroker(id int32) bool {
	found, others := false, false
	for b := range s.Metadata.Image().Brokers() {
		found = found || b.ID == id
		others = others || b.ID != id
	}
	return found && !others
}
