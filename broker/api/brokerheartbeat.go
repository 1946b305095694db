package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/controller"
)

// BrokerHeartbeat, key 63, versions 0 to 2 (KIP-631). Kafka: ControllerApis.handleBrokerHeartBeatRequest. Spoken between
// brokers only.
//
// Deviation: cordoned log directories (KIP-1066) are not looked at.
func brokerHeartbeat(s *Services, c *Call, r *kmsg.BrokerHeartbeatRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.BrokerHeartbeatResponse)
	answer.IsFenced = true
	if !speaksFor(c, r.BrokerID) {
		answer.ErrorCode = kerr.ClusterAuthorizationFailed.Code
		return answer
	}
	ctx, cancel := requestContext(c, 0)
	defer cancel()
	state, err := s.Metadata.Heartbeat(ctx, controller.Heartbeat{
		BrokerID: r.BrokerID, BrokerEpoch: r.BrokerEpoch, MetadataOffset: r.CurrentMetadataOffset,
		WantFence: r.WantFence, WantShutdown: r.WantShutdown, OfflineDirectories: r.OfflineLogDirs,
	})
	if err != nil {
		answer.ErrorCode, _ = s.outcome(err)
		return answer
	}
	answer.IsCaughtUp, answer.IsFenced, answer.ShouldShutdown = state.CaughtUp, state.Fenced, state.ShouldShutdown
	return answer
}
