package group

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// What scripts print of answers and records.

func showResponse(response any) string {
	if s, ok := showShare(response); ok {
		return s
	}
	if s, ok := showStreams(response); ok {
		return s
	}
	switch r := response.(type) {
	case *kmsg.ConsumerGroupHeartbeatResponse:
		return showBeat(r)
	case *heldHeartbeat:
		if beat, ok := r.answer.(*kmsg.ConsumerGroupHeartbeatResponse); ok {
			return showBeat(beat) + " no news"
		}
		return showResponse(r.answer) + " no news"
	case []kmsg.ConsumerGroupDescribeResponseGroup:
		return showDescribedConsumer(r[0])
	case *kmsg.JoinGroupResponse:
		if r.ErrorCode != 0 && r.Generation < 0 {
			return fmt.Sprintf("%s member=%q", errorName(r.ErrorCode), r.MemberID)
		}
		s := fmt.Sprintf("joined %s generation=%d protocol=%s/%s leader=%s member=%s", errorName(r.ErrorCode), r.Generation, text(r.ProtocolType), text(r.Protocol), r.LeaderID, r.MemberID)
		if r.SkipAssignment {
			s += " skip-assignment"
		}
		if len(r.Members) > 0 {
			s += " members="
			for i, m := range r.Members {
				if i > 0 {
					s += ","
				}
				s += m.MemberID
				if m.InstanceID != nil {
					s += "@" + *m.InstanceID
				}
			}
		}
		return s
	case *kmsg.SyncGroupResponse:
		if r.ErrorCode != 0 {
			return errorName(r.ErrorCode)
		}
		return fmt.Sprintf("assigned %q by %s/%s", r.MemberAssignment, text(r.ProtocolType), text(r.Protocol))
	case *kmsg.HeartbeatResponse:
		return errorName(r.ErrorCode)
	case *kmsg.LeaveGroupResponse:
		var each []string
		for _, m := range r.Members {
			name := m.MemberID
			if m.InstanceID != nil {
				name += "@" + *m.InstanceID
			}
			each = append(each, name+" "+errorName(m.ErrorCode))
		}
		return errorName(r.ErrorCode) + ": " + strings.Join(each, ", ")
	case *kmsg.OffsetCommitResponse:
		var each []string
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				each = append(each, fmt.Sprintf("%s-%d %s", t.Topic, p.Partition, errorName(p.ErrorCode)))
			}
		}
		return strings.Join(each, ", ")
	case *kmsg.TxnOffsetCommitResponse:
		var each []string
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				each = append(each, fmt.Sprintf("%s-%d %s", t.Topic, p.Partition, errorName(p.ErrorCode)))
			}
		}
		return strings.Join(each, ", ")
	case *kmsg.OffsetFetchResponseGroup:
		var each []string
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode != 0 {
					each = append(each, fmt.Sprintf("%s-%d at %d %s", t.Topic, p.Partition, p.Offset, errorName(p.ErrorCode)))
					continue
				}
				each = append(each, fmt.Sprintf("%s-%d at %d epoch %d %q", t.Topic, p.Partition, p.Offset, p.LeaderEpoch, *p.Metadata))
			}
		}
		return "offsets: " + strings.Join(each, ", ")
	case *kmsg.OffsetDeleteResponse:
		var each []string
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				each = append(each, fmt.Sprintf("%s-%d %s", t.Topic, p.Partition, errorName(p.ErrorCode)))
			}
		}
		return errorName(r.ErrorCode) + ": " + strings.Join(each, ", ")
	case []kmsg.DeleteGroupsResponseGroup:
		var each []string
		for _, g := range r {
			each = append(each, fmt.Sprintf("%s %s %s", g.Group, errorName(g.ErrorCode), text(g.ErrorMessage)))
		}
		return strings.Join(each, ", ")
	case []kmsg.DescribeGroupsResponseGroup:
		return showDescribed(r[0])
	case []kmsg.ListGroupsResponseGroup:
		var each []string
		for _, g := range r {
			each = append(each, fmt.Sprintf("%s %q %s %s", g.Group, g.ProtocolType, g.GroupState, g.GroupType))
		}
		return strings.Join(each, ", ")
	}
	return fmt.Sprintf("%T", response)
}

func showDescribed(g kmsg.DescribeGroupsResponseGroup) string {
	s := fmt.Sprintf("%s %s %q %q", errorName(g.ErrorCode), g.State, g.ProtocolType, g.Protocol)
	if g.ErrorMessage != nil {
		s += " " + *g.ErrorMessage
	}
	for _, m := range g.Members {
		s += fmt.Sprintf(" [%s@%s %s %s metadata=%d assignment=%q]", m.MemberID, text(m.InstanceID), m.ClientID, m.ClientHost, len(m.ProtocolMetadata), m.MemberAssignment)
	}
	return s
}

func showRecord(record coordinator.Record) string {
	key, err := parseKey(record.Key)
	if err != nil {
		return err.Error()
	}
	name := key.group.id
	if key.isOffset {
		name = fmt.Sprintf("%s %s-%d", name, key.topic, key.partition)
	}
	if isShareKey(key.kind) {
		return showShareRecord(key, record.Value)
	}
	if isStreamsKey(key.kind) {
		return showStreamsRecord(key, record.Value)
	}
	if !key.isOffset && key.kind != groupMetadataKey {
		return showConsumerRecord(key, record.Value)
	}
	if record.Value == nil {
		return name + " tombstone"
	}
	if key.isOffset {
		o, err := parseOffset(record.Value)
		if err != nil {
			return err.Error()
		}
		s := fmt.Sprintf("%s at %d epoch %d %q", name, o.offset, o.leaderEpoch, o.metadata)
		if o.expireMillis != -1 {
			s += fmt.Sprintf(" until %d", o.expireMillis)
		}
		return s
	}
	stored, err := parseGroup(record.Value)
	if err != nil {
		return err.Error()
	}
	return name + " " + showStored(stored)
}

func showStored(g *storedGroup) string {
	s := fmt.Sprintf("generation=%d %s/%s leader=%s", g.generation, g.protocolType, text(g.protocol), text(g.leader))
	for _, m := range g.members {
		s += fmt.Sprintf(" [%s@%s %q]", m.id, text(m.instanceID), m.assignment)
	}
	return s
}

func text(s *string) string {
	if s == nil {
		return "-"
	}
	return *s
}

func errorName(code int16) string {
	err, ok := kerr.ErrorForCode(code).(*kerr.Error)
	if !ok {
		return "ok"
	}
	return err.Message
}
