package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

type clusterInfo struct {
	ClusterID  string         `json:"cluster_id"`
	Controller int32          `json:"controller"`
	Topics     int            `json:"topics"`
	Partitions int            `json:"partitions"`
	Brokers    []listedBroker `json:"brokers"`
}

func newClusterInfoCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:     "info",
		Short:   "Show the cluster's id, brokers and size",
		Example: "  millrace cluster info\n  millrace cluster info --format json | jq -r .cluster_id",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel, admin, err := s.admin(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			meta, err := admin.Metadata(ctx)
			if err != nil {
				return fmt.Errorf("ask for metadata: %w", err)
			}
			info := clusterInfo{ClusterID: meta.Cluster, Controller: meta.Controller, Topics: len(meta.Topics), Brokers: listBrokers(meta)}
			for _, t := range meta.Topics {
				info.Partitions += len(t.Partitions)
			}
			t := newTable("CLUSTER", "CONTROLLER", "BROKERS", "TOPICS", "PARTITIONS")
			t.row(info.ClusterID, info.Controller, len(info.Brokers), info.Topics, info.Partitions)
			return s.print(cmd, info, t, brokerTable(info.Brokers))
		},
	}
}
