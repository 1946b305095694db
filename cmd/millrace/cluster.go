package main

import (
	"github.com/spf13/cobra"
)

func newClusterCommand(s *session) *cobra.Command {
	return noun("cluster", "clusters", "Look at brokers, partitions, quorum and disks; change broker configuration",
		`  millrace cluster info
  millrace cluster health --watch --exit-when-healthy
  millrace cluster config set log.retention.ms=259200000`,
		newClusterInfoCommand(s), newClusterBrokersCommand(s), newClusterConfigCommand(s),
		noun("partitions", "partition", "Look at partitions and their replicas", "  millrace cluster partitions list --unhealthy", newClusterPartitionsListCommand(s)),
		newClusterQuorumCommand(s), newClusterLogdirsCommand(s), newClusterHealthCommand(s))
}
