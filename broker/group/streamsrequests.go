package group

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/group/topology"
)

// StreamsGroupHeartbeat answers when what it led to is committed. Missing are internal topics that the caller is to create,
// with partition counts.
func (s *Service) StreamsGroupHeartbeat(ctx context.Context, who Caller, r *kmsg.StreamsGroupHeartbeatRequest) (answer *kmsg.StreamsGroupHeartbeatResponse, missing []topology.Topic) {
	answer, missing = s.streamsGroupHeartbeat(ctx, who, r)
	answer.Version = r.Version
	return answer, missing
}

func (s *Service) streamsGroupHeartbeat(ctx context.Context, who Caller, r *kmsg.StreamsGroupHeartbeatRequest) (*kmsg.StreamsGroupHeartbeatResponse, []topology.Topic) {
	if message := streamsHeartbeatFault(r); message != "" {
		return streamsHeartbeatError(kerr.InvalidRequest, message), nil
	}
	key := groupKey{who.Tenant, r.Group}
	answer, err := s.ask(ctx, key, streamsHeartbeatRequest{key: key, caller: who, body: r})
	if err != nil {
		return streamsHeartbeatError(err, ""), nil
	}
	told := answer.(streamsHeartbeatAnswer)
	return told.body, told.create
}

// streamsHeartbeatFault holds a request against what can be said without the group; "" is no fault. What Kafka 4.3 does not
// support is refused first, as there.
func streamsHeartbeatFault(r *kmsg.StreamsGroupHeartbeatRequest) string {
	blank := func(s *string) bool { return s != nil && strings.TrimSpace(*s) == "" }
	switch {
	case r.InstanceID != nil:
		return "Static membership is not yet supported."
	case r.TaskOffsets != nil:
		return "TaskOffsets are not supported yet."
	case r.TaskEndOffsets != nil:
		return "TaskEndOffsets are not supported yet."
	case len(r.WarmupTasks) > 0:
		return "WarmupTasks are not supported yet."
	case hasSourceRegex(r.Topology):
		return "Regular expressions for source topics are not supported yet."
	case blank(&r.MemberID):
		return "MemberId can't be empty."
	case blank(&r.Group):
		return "GroupId can't be empty."
	case blank(r.RackID):
		return "RackId can't be empty."
	case r.MemberEpoch == 0:
		if fault := firstStreamsHeartbeatFault(r); fault != "" {
			return fault
		}
	case r.MemberEpoch == leftStatic:
		return "InstanceId can't be null."
	case r.MemberEpoch < leftStatic:
		return fmt.Sprintf("MemberEpoch is %d, but must be greater than or equal to -2.", r.MemberEpoch)
	case r.Topology != nil:
		return "Topology can only be provided when (re-)joining."
	}
	told := 0
	for _, tasks := range [][]kmsg.TaskIDs{r.ActiveTasks, r.StandbyTasks, r.WarmupTasks} {
		if tasks != nil {
			told++
		}
	}
	switch {
	case told != 0 && told != 3:
		return "If one task-type is non-null, all must be non-null."
	case len(r.MemberID) > maxNameBytes || len(r.Group) > maxNameBytes:
		return "A name is too long."
	}
	return ""
}

func firstStreamsHeartbeatFault(r *kmsg.StreamsGroupHeartbeatRequest) string {
	switch {
	case r.RebalanceTimeoutMillis == -1:
		return "RebalanceTimeoutMs must be provided in first request."
	case r.ActiveTasks == nil || len(r.ActiveTasks) > 0:
		return "ActiveTasks must be empty when (re-)joining."
	case r.StandbyTasks == nil || len(r.StandbyTasks) > 0:
		return "StandbyTasks must be empty when (re-)joining."
	case r.WarmupTasks == nil || len(r.WarmupTasks) > 0:
		return "WarmupTasks must be empty when (re-)joining."
	case r.Topology == nil:
		return "Topology must be non-null when (re-)joining."
	}
	return ""
}

func hasSourceRegex(t *kmsg.StreamsGroupHeartbeatRequestTopology) bool {
	if t == nil {
		return false
	}
	for _, sub := range t.Subtopologies {
		if len(sub.SourceTopicRegex) > 0 {
			return true
		}
	}
	return false
}

// StreamsGroupDescribe describes streams groups, in order.
func (s *Service) StreamsGroupDescribe(ctx context.Context, who Caller, ids []string) []kmsg.StreamsGroupDescribeResponseGroup {
	return scatter(s, who, ids, func(partition int32, keys []groupKey) []kmsg.StreamsGroupDescribeResponseGroup {
		answer, err := s.runtime.Submit(ctx, partition, describeStreamsRequest{keys})
		if err == nil {
			return answer.([]kmsg.StreamsGroupDescribeResponseGroup)
		}
		described := make([]kmsg.StreamsGroupDescribeResponseGroup, 0, len(keys))
		for _, key := range keys {
			g := kmsg.NewStreamsGroupDescribeResponseGroup()
			g.Group, g.ErrorCode = key.id, coordinator.Refusal(err).Code
			described = append(described, g)
		}
		return described
	})
}
