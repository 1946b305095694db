package api

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/security"
)

// ConsumerGroupHeartbeat, key 68, versions 0 and 1 (KIP-848). Kafka: KafkaApis.handleConsumerGroupHeartbeat,
// GroupMetadataManager.consumerGroupHeartbeat.
//
// Deviations: an answer without news may be held back until there is some (heldheartbeat.go), and the heartbeat interval told
// after that, or to a member that waits for partitions, is short, for clients that bear it (group/consumerpace.go); a regular
// expression is resolved before the first heartbeat that brings it is answered, and again as soon as topics change; the last
// heartbeat of a member is passed on to where the coordinator has moved, and waits for a coordinator that loads (passedon.go).
func consumerGroupHeartbeat(s *Services, c *Call, r *kmsg.ConsumerGroupHeartbeatRequest) kmsg.Response {
	refuse := func(err *kerr.Error) kmsg.Response {
		answer := r.ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
		answer.ErrorCode, answer.ErrorMessage = err.Code, kmsg.StringPtr(err.Description)
		return answer
	}
	maySee := func(topic string) bool {
		return s.Allowed(c, security.OperationDescribe, security.ResourceTopic, topic)
	}
	switch {
	case !s.speaksConsumerProtocol():
		return refuse(kerr.UnsupportedVersion)
	case !s.allowedOnGroup(c, security.OperationRead, r.Group):
		return refuse(kerr.GroupAuthorizationFailed)
	case slices.ContainsFunc(r.SubscribedTopicNames, func(topic string) bool { return !maySee(topic) }):
		return refuse(kerr.TopicAuthorizationFailed)
	}
	peer := *c.Peer // the regular expression is matched again when the call is over
	later := &Call{Peer: &peer}
	laterSee := func(topic string) bool {
		return s.Allowed(later, security.OperationDescribe, security.ResourceTopic, topic)
	}
	if r.MemberEpoch < 0 {
		return s.heardOf(c, r.Group, r, func() kmsg.Response {
			answer, _ := s.Groups.ConsumerGroupHeartbeat(c.Context, groupCaller(c), r, laterSee)
			return answer
		})
	}
	answer, watch := s.Groups.ConsumerGroupHeartbeat(c.Context, groupCaller(c), r, laterSee)
	if watch == nil {
		return answer
	}
	if regular := time.Duration(answer.HeartbeatIntervalMillis) * time.Millisecond; regular <= s.heartbeatHold() {
		return answer // it comes as often as it would be answered
	}
	return &heldHeartbeat{consumerHeartbeat{answer}, watch}
}

// consumerHeartbeat is a ConsumerGroupHeartbeat's answer that may be kept.
type consumerHeartbeat struct {
	*kmsg.ConsumerGroupHeartbeatResponse
}

// settle paces the member: it asks for what is new soon.
func (h consumerHeartbeat) settle(_ *kerr.Error, news, whole bool) {
	h.HeartbeatIntervalMillis = group.HeldInterval(h.HeartbeatIntervalMillis, news, whole)
}

// speaksConsumerProtocol reports whether the cluster has finalized the protocol and the broker offers it.
func (s *Services) speaksConsumerProtocol() bool {
	i := s.Metadata.Image()
	return i.Features()["group.version"] >= 1 && slices.Contains(s.Settings.Broker(i).List("group.coordinator.rebalance.protocols"), "consumer")
}
