package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

type groupLagSummary struct {
	Group      string `json:"group"`
	State      string `json:"state"`
	Members    int    `json:"members"`
	Partitions int    `json:"partitions"`
	Lag        int64  `json:"lag"`
}

func newGroupLagCommand(s *session) *cobra.Command {
	var watch bool
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "lag [GROUP...]",
		Short: "Show how far groups are behind",
		Long:  "Show how far groups are behind: one row per group, or, when groups are named, one row per partition.",
		Example: `  millrace group lag
  millrace group lag billing
  millrace group lag --watch --interval 5s
  millrace group lag billing --format jsonl`,
		ValidArgsFunction: s.completeGroups(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if interval <= 0 {
				return usagef("--interval must be above 0")
			}
			_, cancel, admin, err := s.admin(cmd)
			if err != nil {
				return err
			}
			cancel()
			show := func(ctx context.Context) error { return s.showLag(ctx, cmd, admin, args) }
			if !watch {
				return s.once(cmd, show)
			}
			return s.watch(cmd, interval, show)
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it again and again until Ctrl-C")
	cmd.Flags().DurationVar(&interval, "interval", 2*time.Second, "time between two looks of --watch")
	return cmd
}

func (s *session) showLag(ctx context.Context, cmd *cobra.Command, admin *kadm.Client, groups []string) error {
	found, missing, err := s.groupLags(ctx, admin, groups...)
	if err != nil {
		return err
	}
	if len(groups) > 0 {
		rows := []lagRow{}
		for _, l := range found {
			rows = append(rows, lagRows(l)...)
		}
		t := lagTable(rows)
		if len(groups) > 1 {
			t = lagTableOfGroups(rows)
		}
		if len(found) > 0 {
			if err := s.print(cmd, rows, t); err != nil {
				return err
			}
		}
		return missing.err()
	}
	list := []groupLagSummary{}
	t := newTable("GROUP", "STATE", "MEMBERS", "PARTITIONS", "LAG")
	for _, l := range found {
		summary := groupLagSummary{l.Group, l.State, len(l.Members), len(l.Lag.Sorted()), l.Lag.Total()}
		list = append(list, summary)
		t.row(summary.Group, summary.State, summary.Members, summary.Partitions, summary.Lag)
	}
	if err := s.print(cmd, list, t); err != nil {
		return err
	}
	return missing.err()
}

func lagTableOfGroups(rows []lagRow) *table {
	t := lagTable(rows)
	t.header = append([]string{"GROUP"}, t.header...)
	for i, r := range rows {
		t.rows[i] = append([]string{printable(r.Group)}, t.rows[i]...)
	}
	return t
}

// once runs show within the timeout setting.
func (s *session) once(cmd *cobra.Command, show func(context.Context) error) error {
	ctx, cancel := s.deadline(cmd)
	defer cancel()
	return show(ctx)
}

// watch runs show until the command is interrupted. On a terminal each look replaces the one before.
func (s *session) watch(cmd *cobra.Command, interval time.Duration, show func(context.Context) error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if isTerminal(cmd.OutOrStdout()) {
			fmt.Fprint(cmd.OutOrStdout(), "\x1b[H\x1b[2J")
		}
		if err := s.once(cmd, show); err != nil {
			if cmd.Context().Err() != nil {
				return nil
			}
			return err
		}
		select {
		case <-tick.C:
		case <-cmd.Context().Done():
			return nil
		}
	}
}
