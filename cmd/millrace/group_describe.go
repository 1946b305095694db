package main

import (
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

type describedGroup struct {
	Name         string        `json:"name"`
	State        string        `json:"state"`
	ProtocolType string        `json:"protocol_type"`
	Protocol     string        `json:"protocol"`
	Coordinator  int32         `json:"coordinator"`
	TotalLag     int64         `json:"total_lag"`
	Members      []groupMember `json:"members"`
	Partitions   []lagRow      `json:"partitions"`
}

func newGroupDescribeCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:     "describe GROUP...",
		Aliases: []string{"get"},
		Short:   "Show state, members, offsets and lag of groups",
		Example: `  millrace group describe billing
  millrace group describe billing --format yaml`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: s.completeGroups(),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel, admin, err := s.admin(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			found, missing, err := s.groupLags(ctx, admin, args...)
			if err != nil {
				return err
			}
			list := []describedGroup{}
			var tables []*table
			for _, l := range found {
				d := describeGroup(l)
				list = append(list, d)
				tables = append(tables, d.tables()...)
			}
			if len(list) > 0 {
				if err := s.print(cmd, list, tables...); err != nil {
					return err
				}
			}
			return missing.err()
		},
	}
}

func describeGroup(l kadm.DescribedGroupLag) describedGroup {
	return describedGroup{Name: l.Group, State: l.State, ProtocolType: l.ProtocolType, Protocol: l.Protocol,
		Coordinator: l.Coordinator.NodeID, TotalLag: l.Lag.Total(), Members: groupMembers(l), Partitions: lagRows(l)}
}

func (d describedGroup) tables() []*table {
	summary := newTable("GROUP", "STATE", "TYPE", "ASSIGNOR", "COORDINATOR", "MEMBERS", "TOTAL-LAG")
	summary.row(d.Name, d.State, dash(d.ProtocolType), dash(d.Protocol), d.Coordinator, len(d.Members), d.TotalLag)
	out := []*table{summary}
	if len(d.Partitions) > 0 {
		out = append(out, lagTable(d.Partitions))
	}
	if idle := d.idleMembers(); len(idle) > 0 {
		out = append(out, memberTable(idle))
	}
	return out
}

// idleMembers have no partition, so that the partitions do not show them.
func (d describedGroup) idleMembers() []groupMember {
	var out []groupMember
	for _, m := range d.Members {
		if len(m.Assigned) == 0 {
			out = append(out, m)
		}
	}
	return out
}
