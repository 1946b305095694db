package group

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// ConsumerGroupHeartbeat answers when what it led to is committed. Allowed says which topics the caller may see; regular
// expressions match no others. When the answer tells the member nothing new, watch is not nil: the caller may keep the
// answer until there is news (HeldInterval says how it is paced then).
func (s *Service) ConsumerGroupHeartbeat(ctx context.Context, who Caller, r *kmsg.ConsumerGroupHeartbeatRequest, allowed func(topic string) bool) (answer *kmsg.ConsumerGroupHeartbeatResponse, watch *Watch) {
	answer, watch = s.consumerGroupHeartbeat(ctx, who, r, allowed)
	answer.Version = r.Version
	return answer, watch
}

func (s *Service) consumerGroupHeartbeat(ctx context.Context, who Caller, r *kmsg.ConsumerGroupHeartbeatRequest, allowed func(string) bool) (*kmsg.ConsumerGroupHeartbeatResponse, *Watch) {
	if fault := checkConsumerHeartbeat(r, s.cfg.Settings().ConsumerAssignors); fault != nil {
		return consumerHeartbeatError(fault.err, fault.message), nil
	}
	key := groupKey{who.Tenant, r.Group}
	e := consumerHeartbeatRequest{key: key, caller: who, body: r, allowed: allowed}
	if r.MemberID == "" {
		e.newMemberID = newUUID()
	}
	answer, err := s.ask(ctx, key, e)
	if err != nil {
		return consumerHeartbeatError(err, ""), nil
	}
	if held, quiet := answer.(*heldHeartbeat); quiet {
		return held.answer.(*kmsg.ConsumerGroupHeartbeatResponse), held.watch
	}
	return answer.(*kmsg.ConsumerGroupHeartbeatResponse), nil
}

// newUUID is a member id in the form of Kafka's ids, 22 characters of base64url.
func newUUID() string {
	var u [16]byte
	rand.Read(u[:])
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return base64.RawURLEncoding.EncodeToString(u[:])
}

// checkConsumerHeartbeat holds a request against what can be said without the group.
func checkConsumerHeartbeat(r *kmsg.ConsumerGroupHeartbeatRequest, assignors []string) *refusal {
	blank := func(s *string) bool { return s != nil && strings.TrimSpace(*s) == "" }
	invalid := func(message string) *refusal { return &refusal{kerr.InvalidRequest, message} }
	switch {
	case (r.Version >= 1 || r.MemberEpoch > 0 || r.MemberEpoch < 0) && blank(&r.MemberID):
		return invalid("MemberId can't be empty.")
	case blank(&r.Group):
		return invalid("GroupId can't be empty.")
	case blank(r.InstanceID):
		return invalid("InstanceId can't be empty.")
	case blank(r.RackID):
		return invalid("RackId can't be empty.")
	case r.MemberEpoch < leftStatic:
		return invalid("MemberEpoch is invalid.")
	case hasLongText(r):
		return invalid("A name is too long.")
	}
	if r.MemberEpoch == 0 {
		if fault := checkFirstHeartbeat(r); fault != nil {
			return fault
		}
	}
	if r.ServerAssignor != nil && !contains(assignors, *r.ServerAssignor) {
		return refused(kerr.UnsupportedAssignor, "ServerAssignor %s is not supported. Supported assignors: %s.", *r.ServerAssignor, strings.Join(assignors, ", "))
	}
	if r.SubscribedTopicRegex != nil && *r.SubscribedTopicRegex != "" {
		if _, err := compileRegex(*r.SubscribedTopicRegex); err != nil {
			return refused(kerr.InvalidRegularExpression, "SubscribedTopicRegex `%s` is not a valid regular expression: %s.", *r.SubscribedTopicRegex, err)
		}
	}
	return nil
}

func checkFirstHeartbeat(r *kmsg.ConsumerGroupHeartbeatRequest) *refusal {
	switch {
	case r.RebalanceTimeoutMillis == -1:
		return &refusal{kerr.InvalidRequest, "RebalanceTimeoutMs must be provided in first request."}
	case r.Topics == nil || len(r.Topics) > 0:
		return &refusal{kerr.InvalidRequest, "TopicPartitions must be empty when (re-)joining."}
	case r.SubscribedTopicNames == nil && r.SubscribedTopicRegex == nil:
		return &refusal{kerr.InvalidRequest, "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining."}
	}
	return nil
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// hasLongText looks for what a record could not hold.
func hasLongText(r *kmsg.ConsumerGroupHeartbeatRequest) bool {
	tooLong := func(s *string) bool { return s != nil && len(*s) > maxNameBytes }
	return tooLong(&r.Group) || tooLong(&r.MemberID) || tooLong(r.InstanceID) || tooLong(r.RackID)
}

// ConsumerGroupDescribe describes groups of the consumer protocol, in order.
func (s *Service) ConsumerGroupDescribe(ctx context.Context, who Caller, ids []string) []kmsg.ConsumerGroupDescribeResponseGroup {
	return scatter(s, who, ids, func(partition int32, keys []groupKey) []kmsg.ConsumerGroupDescribeResponseGroup {
		answer, err := s.runtime.Submit(ctx, partition, describeConsumersRequest{keys})
		if err == nil {
			return answer.([]kmsg.ConsumerGroupDescribeResponseGroup)
		}
		described := make([]kmsg.ConsumerGroupDescribeResponseGroup, 0, len(keys))
		for _, key := range keys {
			g := kmsg.NewConsumerGroupDescribeResponseGroup()
			g.Group, g.ErrorCode = key.id, coordinator.Refusal(err).Code
			described = append(described, g)
		}
		return described
	})
}
