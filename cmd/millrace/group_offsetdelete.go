package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func newGroupOffsetDeleteCommand(s *session) *cobra.Command {
	var topics []string
	var yes, dryRun bool
	cmd := &cobra.Command{
		Use:   "offset-delete GROUP --topic TOPIC[:PARTITIONS]",
		Short: "Forget the committed offsets of a group for topics that it does not read any more",
		Example: `  millrace group offset-delete billing --topic orders
  millrace group offset-delete billing --topic orders:0,1 --dry-run`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeFirst(s.completeGroups()),
		RunE: func(cmd *cobra.Command, args []string) error {
			selection, err := parseTopicPartitions(topics)
			if err != nil {
				return err
			}
			if len(selection) == 0 {
				return usagef("--topic is missing: name what the group shall forget")
			}
			ctx, cancel, admin, err := s.admin(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			if _, err := s.oneGroup(ctx, admin, args[0]); err != nil {
				return err
			}
			committed, err := admin.FetchOffsets(ctx, args[0])
			if err != nil {
				return fmt.Errorf("fetch offsets of group %s: %w", args[0], err)
			}
			committed.KeepFunc(func(r kadm.OffsetResponse) bool { return chosen(selection, r.Topic, r.Partition) })
			offsets := committed.Offsets()
			if len(offsets) == 0 {
				return notFoundf("group %s has no commit that matches\nSee its commits: millrace group describe %s", quote(args[0]), args[0])
			}
			var done outcomes
			if !dryRun {
				if err := confirm(cmd, yes, fmt.Sprintf("Delete the committed offsets of %s of group %s?", plural(len(offsets.Sorted()), "partition"), args[0])); err != nil {
					return err
				}
			}
			var responses kadm.DeleteOffsetsResponses
			if !dryRun {
				ctx, cancel := s.deadline(cmd)
				defer cancel()
				if responses, err = admin.DeleteOffsets(ctx, args[0], offsets.TopicsSet()); err != nil {
					return fmt.Errorf("delete offsets: %w", err)
				}
			}
			for _, o := range offsets.Sorted() {
				status := "deleted"
				if dryRun {
					status = "would be deleted"
				}
				err, _ := responses.Lookup(o.Topic, o.Partition)
				done.add("partition", fmt.Sprintf("%s:%d", o.Topic, o.Partition), status, err)
			}
			return done.print(s, cmd, "PARTITION")
		},
	}
	cmd.Flags().StringArrayVarP(&topics, "topic", "t", nil, "TOPIC or TOPIC:0,1, repeatable")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be deleted, delete nothing")
	return cmd
}
