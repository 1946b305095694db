package api

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/controller"
)

// BrokerHeartbeat, key 63, versions 0 to 2 (KIP-631). Kafka: ControllerApis.handleBrokerHeartBeatRequest. Spoken between
// brokers only.
//
// Deviations: cordoned log directories (KIP-1066) are not looked at; a tagged field says up to where the broker must know the
// metadata log for its session to be held (VouchedIndex).
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
	if state.Vouched > 0 {
		answer.UnknownTags.Set(metadataIndexTag, binary.BigEndian.AppendUint64(nil, state.Vouched))
	}
	return answer
}

// VouchedIndex reads from the answer to a heartbeat at which index of the metadata log the controller, whose leadership was
// confirmed, knew the broker to be unfenced after the heartbeat had come. A controller that cannot say gives none.
func VouchedIndex(answer *kmsg.BrokerHeartbeatResponse) (index uint64, ok bool) {
	answer.UnknownTags.Each(func(tag uint32, value []byte) {
		if tag == metadataIndexTag && len(value) == 8 {
			index, ok = binary.BigEndian.Uint64(value), true
		}
	})
	return index, ok
}
