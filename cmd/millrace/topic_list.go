package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

type listedTopic struct {
	Name              string `json:"name"`
	ID                string `json:"id"`
	Internal          bool   `json:"internal"`
	Partitions        int    `json:"partitions"`
	ReplicationFactor int    `json:"replication_factor"`
	UnderReplicated   int    `json:"under_replicated"`
	Leaderless        int    `json:"leaderless"`
}

func newTopicListCommand(s *session) *cobra.Command {
	var internal, byPattern bool
	cmd := &cobra.Command{
		Use:     "list [TOPIC...]",
		Aliases: []string{"ls"},
		Short:   "List topics",
		Example: `  millrace topic list
  millrace topic list --regex 'orders-.*' --format wide
  millrace topic list --format json | jq -r '.[].name'`,
		ValidArgsFunction: s.completeTopics(),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel, admin, err := s.admin(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			topics, missing, err := findTopics(ctx, admin, args, byPattern, internal)
			if err != nil {
				return fmt.Errorf("list topics: %w", err)
			}
			list := []listedTopic{}
			t := newTable("NAME", "PARTITIONS", "REPLICAS", "+ID", "+INTERNAL", "+UNDER-REPLICATED", "+LEADERLESS")
			for _, topic := range topics {
				l := listedTopic{Name: topic.Topic, ID: topicIDText(topic.ID), Internal: topic.IsInternal, Partitions: len(topic.Partitions), ReplicationFactor: topic.Partitions.NumReplicas()}
				for _, p := range topic.Partitions {
					if len(p.ISR) < len(p.Replicas) {
						l.UnderReplicated++
					}
					if p.Leader < 0 {
						l.Leaderless++
					}
				}
				list = append(list, l)
				t.row(l.Name, l.Partitions, l.ReplicationFactor, l.ID, l.Internal, l.UnderReplicated, l.Leaderless)
			}
			if err := s.print(cmd, list, t); err != nil {
				return err
			}
			return missing.err()
		},
	}
	cmd.Flags().BoolVarP(&internal, "internal", "i", false, "list internal topics, too")
	cmd.Flags().BoolVarP(&byPattern, "regex", "r", false, "TOPIC is a regular expression that matches whole names")
	return cmd
}
