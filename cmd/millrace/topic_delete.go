package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func newTopicDeleteCommand(s *session) *cobra.Command {
	var byPattern, yes, dryRun bool
	cmd := &cobra.Command{
		Use:     "delete TOPIC...",
		Aliases: []string{"rm"},
		Short:   "Delete topics with all their records",
		Example: `  millrace topic delete orders
  millrace topic delete --regex 'test-.*' --dry-run
  millrace topic delete orders --yes`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: s.completeTopics(),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel, admin, err := s.admin(cmd)
			if err != nil {
				return err
			}
			topics, missing, err := findTopics(ctx, admin, args, byPattern, !byPattern)
			cancel()
			if err != nil {
				return fmt.Errorf("find topics: %w", err)
			}
			var names []string
			for _, t := range topics {
				names = append(names, t.Topic)
			}
			var done outcomes
			done.absorb("topic", missing)
			if len(names) == 0 {
				if byPattern {
					note(cmd, "no topic matches")
				}
				return done.print(s, cmd, "TOPIC")
			}
			if dryRun {
				for _, name := range names {
					done.add("topic", name, "would be deleted", nil)
				}
				return done.print(s, cmd, "TOPIC")
			}
			if err := confirm(cmd, yes, fmt.Sprintf("Delete %s with all records: %s?", plural(len(names), "topic"), strings.Join(names, ", "))); err != nil {
				return err
			}
			ctx, cancel = s.deadline(cmd)
			defer cancel()
			responses, err := admin.DeleteTopics(ctx, names...)
			if err != nil {
				return fmt.Errorf("delete topics: %w", err)
			}
			for _, name := range names {
				r := responses[name]
				done.add("topic", name, "deleted", brokerError(r.Err, r.ErrMessage))
			}
			return done.print(s, cmd, "TOPIC")
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&byPattern, "regex", "r", false, "TOPIC is a regular expression that matches whole names; internal topics never match")
	f.BoolVarP(&yes, "yes", "y", false, "do not ask")
	f.BoolVar(&dryRun, "dry-run", false, "show what would be deleted, delete nothing")
	return cmd
}
