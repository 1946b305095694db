package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

type groupMember struct {
	Group      string           `json:"group"`
	MemberID   string           `json:"member_id"`
	InstanceID *string          `json:"instance_id"`
	ClientID   string           `json:"client_id"`
	Host       string           `json:"host"`
	Assigned   []assignedTopics `json:"assigned"`
}

type assignedTopics struct {
	Topic      string  `json:"topic"`
	Partitions []int32 `json:"partitions"`
}

func newGroupMembersCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "members GROUP",
		Short: "List the members of a group and what they are assigned",
		Example: `  millrace group members billing
  millrace group members billing --format json | jq -r '.[].client_id'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeFirst(s.completeGroups()),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel, admin, err := s.admin(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			group, err := s.oneGroup(ctx, admin, args[0])
			if err != nil {
				return err
			}
			members := groupMembers(group)
			return s.print(cmd, members, memberTable(members))
		},
	}
}

func groupMembers(l kadm.DescribedGroupLag) []groupMember {
	out := []groupMember{}
	for _, m := range l.Members {
		member := groupMember{Group: l.Group, MemberID: m.MemberID, InstanceID: m.InstanceID, ClientID: m.ClientID, Host: strings.TrimPrefix(m.ClientHost, "/"), Assigned: []assignedTopics{}}
		if consumer, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range consumer.Topics {
				partitions := slices.Clone(t.Partitions)
				slices.Sort(partitions)
				member.Assigned = append(member.Assigned, assignedTopics{t.Topic, partitions})
			}
			slices.SortFunc(member.Assigned, func(a, b assignedTopics) int { return cmp.Compare(a.Topic, b.Topic) })
		}
		if len(member.Assigned) == 0 {
			member.Assigned = assignedBy(l, m.MemberID)
		}
		out = append(out, member)
	}
	return out
}

func memberTable(members []groupMember) *table {
	t := newTable("MEMBER", "INSTANCE", "CLIENT", "HOST", "ASSIGNED")
	for _, m := range members {
		instance := "-"
		if m.InstanceID != nil {
			instance = *m.InstanceID
		}
		var assigned []string
		for _, a := range m.Assigned {
			assigned = append(assigned, fmt.Sprintf("%s:%s", a.Topic, joinIDs(a.Partitions)))
		}
		t.row(m.MemberID, instance, m.ClientID, m.Host, dash(strings.Join(assigned, " ")))
	}
	return t
}
