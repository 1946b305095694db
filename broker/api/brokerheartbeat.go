package api

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/controller"
)

// BrokerHeartbeat, key 63, versions 0 to 2 (KIP-631). Kafka: ControllerApis.handleBrokerHeartBeatRequest. Spoken between
// brokers only.
//
// The connection that heartbeats come by is remembered: when it ends, Services.HeartbeatsEnded is called.
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
	if b := s.Metadata.Image().Broker(r.BrokerID); b != nil && b.Epoch == r.BrokerEpoch {
		c.heartbeatsOf = &heartbeatSource{brokerID: b.ID, incarnation: b.Incarnation}
	}
	answer.IsCaughtUp, answer.IsFenced, answer.ShouldShutdown = state.CaughtUp, state.Fenced, state.ShouldShutdown
	return answer
}

// heartbeatSource is the broker whose heartbeats come by a connection.
type heartbeatSource struct {
	brokerID    int32
	incarnation [16]byte
}

// speaksFor holds that a broker speaks in its own name only.
func speaksFor(c *Call, brokerID int32) bool {
	return !strings.HasPrefix(c.Identity.Principal, brokerPrincipalPrefix) || c.Identity.Principal == BrokerPrincipal(brokerID)
}
