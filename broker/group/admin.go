package group

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// describeRequest asks for groups; version is of DescribeGroups.
type describeRequest struct {
	keys    []groupKey
	version int16
}

// listRequest asks for the groups of a tenant in one of the states; no states are all. States are in lower case.
type listRequest struct {
	tenant string
	states []string
	types  []string // in lower case; none are all
}

// deleteGroupsRequest deletes groups.
type deleteGroupsRequest struct{ keys []groupKey }

// committedRequest asks for every committed offset, and those that are being committed.
type committedRequest struct{}

func notFound(id string) string { return fmt.Sprintf("Group %s not found.", id) }

func (s *shard) describe(e describeRequest) []kmsg.DescribeGroupsResponseGroup {
	described := make([]kmsg.DescribeGroupsResponseGroup, 0, len(e.keys))
	for _, key := range e.keys {
		d := kmsg.NewDescribeGroupsResponseGroup()
		d.Group, d.State = key.id, dead
		if g := s.lookup(key); g != nil && g.isClassic() {
			s.describeGroup(g, &d)
		} else if e.version >= 6 {
			message := notFound(key.id)
			if g != nil {
				message = fmt.Sprintf("Group %s is not a classic group.", key.id)
			}
			d.ErrorCode, d.ErrorMessage = kerr.GroupIDNotFound.Code, &message
		}
		described = append(described, d)
	}
	return described
}

// describeGroup shows the members' metadata of a stable group only: before, there is no protocol to choose it by.
func (s *shard) describeGroup(g *group, d *kmsg.DescribeGroupsResponseGroup) {
	d.State = g.state.String()
	if g.protocolType != nil {
		d.ProtocolType = *g.protocolType
	}
	if g.state == stable && g.protocol != nil {
		d.Protocol = *g.protocol
	}
	for _, m := range g.members {
		x := kmsg.NewDescribeGroupsResponseGroupMember()
		x.MemberID, x.InstanceID, x.ClientID, x.ClientHost, x.MemberAssignment = m.id, m.instanceID, m.clientID, m.clientHost, m.assignment
		if g.state == stable {
			x.ProtocolMetadata = m.metadata(d.Protocol)
		}
		d.Members = append(d.Members, x)
	}
}

// isEmpty reports that a group has no members.
func (g *group) isEmpty() bool {
	if g.consumer != nil {
		return len(g.consumer.members) == 0
	}
	if g.share != nil {
		return len(g.share.members) == 0
	}
	if g.streams != nil {
		return len(g.streams.members) == 0
	}
	return g.state == empty
}

// describeState is the group's type and state as clients are told them.
func (g *group) describeState() (kind, state string) {
	if g.consumer != nil {
		return "consumer", g.consumer.state().String()
	}
	if g.share != nil {
		return "share", g.share.state()
	}
	if g.streams != nil {
		return "streams", g.streams.state().String()
	}
	return "classic", g.state.String()
}

func (s *shard) list(e listRequest) []kmsg.ListGroupsResponseGroup {
	var listed []kmsg.ListGroupsResponseGroup
	for _, key := range s.sortedKeys() {
		g := s.groups[key]
		kind, state := g.describeState()
		if key.tenant != e.tenant || len(e.states) > 0 && !slices.Contains(e.states, strings.ToLower(state)) ||
			len(e.types) > 0 && !slices.Contains(e.types, kind) {
			continue
		}
		l := kmsg.NewListGroupsResponseGroup()
		l.Group, l.GroupState, l.GroupType = key.id, state, kind
		if g.consumer != nil {
			l.ProtocolType = consumerProtocolType
		} else if g.share != nil {
			l.ProtocolType = kind
		} else if g.streams != nil {
			l.ProtocolType = kind
		} else if g.protocolType != nil {
			l.ProtocolType = *g.protocolType
		}
		listed = append(listed, l)
	}
	return listed
}

// deleteGroups writes the end of each group that has no members.
func (s *shard) deleteGroups(e deleteGroupsRequest, ticket coordinator.Ticket, do *effects) {
	do.Divisible = true
	results := make([]kmsg.DeleteGroupsResponseGroup, 0, len(e.keys))
	for _, key := range e.keys {
		r := kmsg.NewDeleteGroupsResponseGroup()
		r.Group = key.id
		switch g := s.lookup(key); {
		case g == nil:
			message := notFound(key.id)
			r.ErrorCode, r.ErrorMessage = kerr.GroupIDNotFound.Code, &message
		case !g.isEmpty():
			r.ErrorCode, r.ErrorMessage = kerr.NonEmptyGroup.Code, &kerr.NonEmptyGroup.Description
		default:
			for _, topic := range slices.Sorted(maps.Keys(g.offsets)) {
				for _, partition := range slices.Sorted(maps.Keys(g.offsets[topic])) {
					do.write(offsetTombstone(key, topic, partition))
					s.figures.deleted++
				}
			}
			for _, at := range g.pendingAlone() {
				do.write(offsetTombstone(key, at.topic, at.partition))
				s.figures.deleted++
			}
			if g.consumer != nil {
				do.write(consumerTombstones(key, g.consumer)...)
			} else if g.share != nil {
				do.write(shareTombstones(key, g.share)...)
			} else if g.streams != nil {
				do.write(streamsTombstones(key, g.streams)...)
			} else {
				do.write(groupTombstone(key))
			}
		}
		results = append(results, r)
	}
	do.reply(ticket, results)
}

func (s *shard) committed() []CommittedOffset {
	all := make([]CommittedOffset, 0, s.figures.offsets)
	for key, g := range s.groups {
		for topic, partitions := range g.offsets {
			for partition, o := range partitions {
				all = append(all, CommittedOffset{Tenant: key.tenant, Group: key.id, Topic: topic, Partition: partition, Offset: o.offset})
			}
		}
	}
	return all
}

// sortedKeys makes what a step does to several groups the same every time.
func (s *shard) sortedKeys() []groupKey {
	return slices.SortedFunc(maps.Keys(s.groups), func(a, b groupKey) int {
		return cmp.Or(strings.Compare(a.tenant, b.tenant), strings.Compare(a.id, b.id))
	})
}
