package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func newClusterElectLeadersCommand(s *session) *cobra.Command {
	var unclean, yes bool
	cmd := &cobra.Command{
		Use:   "elect-leaders [TOPIC...]",
		Short: "Give leadership back to the preferred replicas, or elect leaders that may have lost records",
		Long: `Elects the preferred replica, the first in each partition's list, as its leader, of the topics or of all.

With --unclean a partition without a leader gets one that is not in sync: records that were acknowledged may be lost. Do it
only when the brokers that hold the rest will not come back.`,
		Example: `  millrace cluster elect-leaders
  millrace cluster elect-leaders orders --unclean`,
		ValidArgsFunction: s.completeTopics(),
		RunE: func(cmd *cobra.Command, args []string) error {
			how, status := kadm.ElectPreferredReplica, "elected"
			if unclean {
				how = kadm.ElectLiveReplica
				if len(args) == 0 {
					return usagef("--unclean: name the topics")
				}
				if err := confirm(cmd, yes, "Elect leaders that may have lost acknowledged records?"); err != nil {
					return err
				}
			}
			ctx, cancel, admin, err := s.admin(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			topics, missing, err := findTopics(ctx, admin, args, false, true)
			if err != nil {
				return fmt.Errorf("find topics: %w", err)
			}
			var set kadm.TopicsSet
			for _, t := range topics {
				set.Add(t.Topic, t.Partitions.Numbers()...)
			}
			done := outcomes{list: []outcome{}}
			done.absorb("topic", missing)
			if len(set) > 0 {
				results, err := admin.ElectLeaders(ctx, how, set)
				if err != nil {
					return fmt.Errorf("elect leaders: %w", err)
				}
				addElections(&done, results, status)
			}
			return done.print(s, cmd, "PARTITION")
		},
	}
	cmd.Flags().BoolVar(&unclean, "unclean", false, "where no replica in sync is left, elect one that is not: may lose acknowledged records")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// addElections leaves out the partitions whose leader was the right one already.
func addElections(done *outcomes, results kadm.ElectLeadersResults, status string) {
	for topic, partitions := range results {
		for number, r := range partitions {
			if errors.Is(r.Err, kerr.ElectionNotNeeded) {
				continue
			}
			done.add("partition", fmt.Sprintf("%s:%d", topic, number), status, brokerError(r.Err, r.ErrMessage))
		}
	}
	sortOutcomes(done.list)
}

func sortOutcomes(list []outcome) {
	slices.SortFunc(list, func(a, b outcome) int { return cmp.Compare(a.Name, b.Name) })
}
