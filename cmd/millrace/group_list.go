package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

type listedGroup struct {
	Name         string `json:"name"`
	State        string `json:"state"`
	ProtocolType string `json:"protocol_type"`
	Coordinator  int32  `json:"coordinator"`
}

func newGroupListCommand(s *session) *cobra.Command {
	var states []string
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List groups",
		Example: `  millrace group list
  millrace group list --state Empty,Dead --format json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel, admin, err := s.admin(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			groups, err := admin.ListGroups(ctx, states...)
			if err != nil {
				return fmt.Errorf("list groups: %w", err)
			}
			list := []listedGroup{}
			t := newTable("GROUP", "STATE", "TYPE", "COORDINATOR")
			for _, g := range groups.Sorted() {
				list = append(list, listedGroup{g.Group, g.State, g.ProtocolType, g.Coordinator})
				t.row(g.Group, dash(g.State), dash(g.ProtocolType), g.Coordinator)
			}
			return s.print(cmd, list, t)
		},
	}
	cmd.Flags().StringSliceVar(&states, "state", nil, "only groups in these states: Stable, Empty, PreparingRebalance, CompletingRebalance, Dead")
	return cmd
}
