package api

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// AllocateProducerIds, key 67, version 0. Kafka: ControllerApis.handleAllocateProducerIdsRequest. Spoken between brokers only.
func allocateProducerIDs(s *Services, c *Call, r *kmsg.AllocateProducerIDsRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.AllocateProducerIDsResponse)
	if !speaksFor(c, r.BrokerID) {
		answer.ErrorCode = kerr.ClusterAuthorizationFailed.Code
		return answer
	}
	first, count, err := s.Metadata.AllocateProducerIDs(c.Context, r.BrokerID, r.BrokerEpoch)
	answer.ErrorCode, _ = s.outcome(err)
	answer.ProducerIDStart, answer.ProducerIDLen = first, int32(count)
	return answer
}

// allocateProducerIDs has the controller hand a block of producer ids to this broker. A block whose answer was lost stays
// unused, so asking again is always right.
func (s *Services) allocateProducerIDs(ctx context.Context) (first int64, count int, err error) {
	if s.Peers == nil {
		return s.Metadata.AllocateProducerIDs(ctx, s.NodeID, s.brokerEpoch())
	}
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	err = s.atController(ctx, true, func(leader int32) (err error) {
		if leader == s.NodeID {
			first, count, err = s.Metadata.AllocateProducerIDs(ctx, s.NodeID, s.brokerEpoch())
		} else {
			first, count, err = s.askProducerIDs(ctx, leader)
		}
		return retriedAtController(err)
	})
	return first, count, err
}

func (s *Services) askProducerIDs(ctx context.Context, leader int32) (first int64, count int, err error) {
	request := kmsg.NewPtrAllocateProducerIDsRequest()
	request.BrokerID, request.BrokerEpoch = s.NodeID, s.brokerEpoch()
	response, err := s.Peers.Do(ctx, leader, request)
	if err != nil {
		return 0, 0, sendFault(ctx, err)
	}
	answer, ok := response.(*kmsg.AllocateProducerIDsResponse)
	if !ok {
		return 0, 0, fmt.Errorf("broker %d answered AllocateProducerIds with %T", leader, response)
	}
	return answer.ProducerIDStart, int(answer.ProducerIDLen), kerr.ErrorForCode(answer.ErrorCode)
}

// brokerEpoch is the epoch of this broker's registration; -1 when the image does not have it.
func (s *Services) brokerEpoch() int64 {
	if b := s.Metadata.Image().Broker(s.NodeID); b != nil {
		return b.Epoch
	}
	return -1
}
