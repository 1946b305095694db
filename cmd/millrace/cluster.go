package main

import (
	"github.com/spf13/cobra"
)

func newClusterCommand(s *session) *cobra.Command {
	return noun("cluster", "clusters", "Look at brokers, partitions, quorum and disks; drain and remove brokers; change their configuration",
		`  millrace cluster info
  millrace cluster health --watch --exit-when-healthy
  millrace cluster drain 3 --wait
  millrace cluster config set log.retention.ms=259200000`,
		newClusterInfoCommand(s), newClusterBrokersCommand(s), newClusterConfigCommand(s),
		noun("partitions", "partition", "Look at partitions and their replicas", "  millrace cluster partitions list --unhealthy", newClusterPartitionsListCommand(s)),
		newClusterQuorumCommand(s), newClusterLogdirsCommand(s), newClusterHealthCommand(s),
		newClusterDrainCommand(s), newClusterUndrainCommand(s), newClusterDecommissionCommand(s), newClusterElectLeadersCommand(s),
		noun("reassign", "reassignments", "Look at replicas that are being moved, and stop them", "  millrace cluster reassign list",
			newClusterReassignListCommand(s), newClusterReassignCancelCommand(s)),
		noun("balance", "", "Look at how the cluster spreads replicas, pause it and resume it", "  millrace cluster balance status",
			newClusterBalanceStatusCommand(s), newClusterBalancePauseCommand(s), newClusterBalanceResumeCommand(s)))
}
