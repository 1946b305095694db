package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newTopicAddPartitionsCommand(s *session) *cobra.Command {
	var add, total int
	var yes, dryRun bool
	cmd := &cobra.Command{
		Use:   "add-partitions TOPIC...",
		Short: "Give topics more partitions",
		Long: `Give topics more partitions. Partitions are never taken away again, and records with a key may go
to another partition than before: consumers that rely on the order per key will notice.`,
		Example: `  millrace topic add-partitions orders --add 2
  millrace topic add-partitions orders --total 12`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: s.completeTopics(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (add > 0) == (total > 0) {
				return usagef("give either --add N or --total N, above 0")
			}
			ctx, cancel, admin, err := s.admin(cmd)
			if err != nil {
				return err
			}
			topics, missing, err := findTopics(ctx, admin, args, false, true)
			cancel()
			if err != nil {
				return fmt.Errorf("find topics: %w", err)
			}
			var done outcomes
			done.absorb("topic", missing)
			for _, t := range topics {
				want := total
				if add > 0 {
					want = len(t.Partitions) + add
				}
				if want <= len(t.Partitions) {
					done.add("topic", t.Topic, "", fmt.Errorf("it has %d partitions already; the number can only grow", len(t.Partitions)))
					continue
				}
				if dryRun {
					done.add("topic", t.Topic, fmt.Sprintf("would grow from %d to %d", len(t.Partitions), want), nil)
					continue
				}
				if err := confirm(cmd, yes || !isTerminal(cmd.InOrStdin()), fmt.Sprintf("Grow topic %s from %d to %d partitions, for good?", t.Topic, len(t.Partitions), want)); err != nil {
					return err
				}
				ctx, cancel := s.deadline(cmd)
				responses, err := admin.UpdatePartitions(ctx, want, t.Topic)
				cancel()
				if r, ok := responses[t.Topic]; ok {
					err = brokerError(r.Err, r.ErrMessage)
				}
				done.add("topic", t.Topic, fmt.Sprintf("grew from %d to %d", len(t.Partitions), want), err)
			}
			return done.print(s, cmd, "TOPIC")
		},
	}
	f := cmd.Flags()
	f.IntVar(&add, "add", 0, "how many partitions to add")
	f.IntVar(&total, "total", 0, "how many partitions there shall be")
	f.BoolVarP(&yes, "yes", "y", false, "do not ask")
	f.BoolVar(&dryRun, "dry-run", false, "show what would be done, change nothing")
	return cmd
}
