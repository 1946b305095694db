package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/security"
)

// UnregisterBroker, key 64, version 0 (KIP-631). Kafka: ControllerApis.handleUnregisterBroker.
//
// Deviation: the answer has the reason in words; Kafka sends the code alone.
func unregisterBroker(s *Services, c *Call, r *kmsg.UnregisterBrokerRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.UnregisterBrokerResponse)
	if !s.allowedOnCluster(c, security.OperationAlter) {
		answer.ErrorCode, answer.ErrorMessage = s.outcome(kerr.ClusterAuthorizationFailed)
		return answer
	}
	ctx, cancel := requestContext(c, 0)
	defer cancel()
	answer.ErrorCode, answer.ErrorMessage = s.outcome(s.Metadata.UnregisterBroker(ctx, r.BrokerID))
	return answer
}
