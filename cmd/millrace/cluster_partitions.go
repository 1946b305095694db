package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

type clusterPartition struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	Leader    int32   `json:"leader"`
	Epoch     int32   `json:"leader_epoch"`
	Replicas  []int32 `json:"replicas"`
	ISR       []int32 `json:"isr"`
	Offline   []int32 `json:"offline_replicas"`
	Health    string  `json:"health"`
}

func newClusterPartitionsListCommand(s *session) *cobra.Command {
	var unhealthy, internal, offline, under bool
	var broker int32
	cmd := &cobra.Command{
		Use:     "list [TOPIC...]",
		Aliases: []string{"ls"},
		Short:   "List partitions with leader, replicas and in-sync replicas",
		Example: `  millrace cluster partitions list
  millrace cluster partitions list --unhealthy --format json
  millrace cluster partitions list --broker 2 --internal`,
		ValidArgsFunction: s.completeTopics(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if unhealthy && (offline || under) || offline && under {
				return usagef("give one of --unhealthy, --offline and --under-replicated")
			}
			ctx, cancel, admin, err := s.admin(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			topics, missing, err := findTopics(ctx, admin, args, false, internal)
			if err != nil {
				return fmt.Errorf("list partitions: %w", err)
			}
			adding := map[topicPartition][]int32{}
			if anyOutOfSync(topics) {
				adding = addingReplicas(ctx, s.client)
			}
			list := []clusterPartition{}
			t := newTable("TOPIC", "PARTITION", "LEADER", "+EPOCH", "REPLICAS", "ISR", "+OFFLINE", "HEALTH")
			for _, topic := range topics {
				for _, d := range topic.Partitions.Sorted() {
					p := clusterPartition{d.Topic, d.Partition, d.Leader, d.LeaderEpoch, orEmpty(d.Replicas), orEmpty(d.ISR), orEmpty(d.OfflineReplicas), partitionHealth(d.Leader, established(d, adding), d.ISR)}
					if unhealthy && p.Health == "ok" || offline && p.Health != healthOffline || under && p.Health != healthUnder ||
						broker >= 0 && !slices.Contains(p.Replicas, broker) {
						continue
					}
					list = append(list, p)
					t.row(p.Topic, p.Partition, p.Leader, p.Epoch, joinIDs(p.Replicas), joinIDs(p.ISR), joinIDs(p.Offline), p.Health)
				}
			}
			if err := s.print(cmd, list, t); err != nil {
				return err
			}
			return missing.err()
		},
	}
	cmd.Flags().BoolVarP(&unhealthy, "unhealthy", "u", false, "only partitions without a leader or with too few in-sync replicas")
	cmd.Flags().BoolVar(&offline, "offline", false, "only partitions without a leader")
	cmd.Flags().BoolVar(&under, "under-replicated", false, "only partitions with a leader and too few in-sync replicas")
	cmd.Flags().Int32Var(&broker, "broker", -1, "only partitions with a replica on this broker")
	cmd.Flags().BoolVarP(&internal, "internal", "i", false, "internal topics, too")
	return cmd
}

func anyOutOfSync(topics []kadm.TopicDetail) bool {
	for _, t := range topics {
		for _, p := range t.Partitions {
			if len(p.ISR) < len(p.Replicas) {
				return true
			}
		}
	}
	return false
}

// What may be wrong with a partition.
const (
	healthOffline = "leaderless"
	healthUnder   = "under-replicated"
)

func partitionHealth(leader int32, replicas, isr []int32) string {
	switch {
	case leader < 0:
		return healthOffline
	case len(isr) < len(replicas):
		return healthUnder
	}
	return "ok"
}
