package main

import (
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

func newTxnDescribeCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:     "describe TRANSACTIONAL-ID...",
		Aliases: []string{"get"},
		Short:   "Show producer, age and partitions of transactions",
		Example: `  millrace txn describe mover-1
  millrace txn describe mover-1 mover-2 --format yaml`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: s.completeTransactions(),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel, admin, err := s.admin(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			missing := &itemErrors{}
			list := []describedTransaction{}
			var tables []*table
			for _, id := range args {
				d, err := oneTransaction(ctx, admin, id)
				if err != nil {
					missing.add("transactional id "+id, err)
					continue
				}
				list = append(list, d)
				tables = append(tables, d.tables(time.Now())...)
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

func (d describedTransaction) tables(now time.Time) []*table {
	summary := newTable("TRANSACTIONAL-ID", "STATE", "PRODUCER", "EPOCH", "TIMEOUT", "AGE", "COORDINATOR")
	summary.row(d.ID, d.State, d.ProducerID, d.ProducerEpoch, (time.Duration(d.TimeoutMs) * time.Millisecond).String(), d.age(now), d.Coordinator)
	if len(d.Partitions) == 0 {
		return []*table{summary}
	}
	partitions := newTable("TOPIC", "PARTITION")
	for _, topic := range slices.Sorted(maps.Keys(d.Partitions)) {
		for _, number := range d.Partitions[topic] {
			partitions.row(topic, number)
		}
	}
	return []*table{summary, partitions}
}
