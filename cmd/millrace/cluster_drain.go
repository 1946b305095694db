package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// drainPlan is what a drain would move.
type drainPlan struct {
	Broker   int32    `json:"broker"`
	Leaders  int      `json:"leader_partitions"`
	Replicas int      `json:"replicas"`
	Stuck    []string `json:"without_a_place"` // partitions that have a replica on every broker that could take them
	Status   string   `json:"status"`
}

func newClusterDrainCommand(s *session) *cobra.Command {
	var wait, dryRun bool
	cmd := &cobra.Command{
		Use:   "drain BROKER",
		Short: "Move every leadership and replica away from a broker",
		Long: `Marks a broker as draining: the controller moves its leaderships and replicas to the others, throttled, and gives it no
new ones. 'cluster reassign list' shows what is under way, 'cluster undrain' ends it.`,
		Example: `  millrace cluster drain 3 --dry-run
  millrace cluster drain 3 --wait`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeBrokers(),
		RunE: func(cmd *cobra.Command, args []string) error {
			plan, err := s.drain(cmd, args[0], dryRun)
			if err != nil {
				return err
			}
			if wait && !dryRun {
				if err := s.awaitDrained(cmd, plan.Broker); err != nil {
					return err
				}
				plan.Leaders, plan.Replicas, plan.Status = 0, 0, "drained"
			}
			return s.print(cmd, plan, drainTable(plan))
		},
	}
	cmd.Flags().BoolVarP(&wait, "wait", "w", false, "wait until the broker holds nothing any more")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would move, change nothing")
	return cmd
}

func drainTable(plan drainPlan) *table {
	t := newTable("BROKER", "LEADERS", "REPLICAS", "STATUS")
	t.row(plan.Broker, plan.Leaders, plan.Replicas, plan.Status)
	return t
}

// drain checks that the replicas have somewhere to go, and marks the broker.
func (s *session) drain(cmd *cobra.Command, argument string, dryRun bool) (drainPlan, error) {
	ctx, cancel, admin, err := s.admin(cmd)
	if err != nil {
		return drainPlan{}, err
	}
	defer cancel()
	list, controller, err := members(ctx, s.client)
	if err != nil {
		return drainPlan{}, err
	}
	broker, err := brokerArgument(argument, list)
	if err != nil {
		return drainPlan{}, err
	}
	partitions, err := allPartitions(ctx, admin)
	if err != nil {
		return drainPlan{}, err
	}
	moves, err := listReassignments(ctx, s.client, kmsg.NewPtrListPartitionReassignmentsRequest())
	if err != nil {
		return drainPlan{}, err
	}
	plan := planDrain(broker.id, list, withoutLeaving(partitions, moves))
	if brokerSettings(ctx, admin, broker.id)[drainSetting] == "true" {
		plan.Stuck, plan.Status = []string{}, "draining" // what is being moved lies on more brokers than it will
		return plan, nil
	}
	if len(plan.Stuck) > 0 {
		return plan, &failure{code: exitFailed, message: fmt.Sprintf(
			"broker %d cannot be drained: %s already %s on every other broker: %s\nAdd a broker first, or give the topics fewer replicas: millrace topic set-replicas",
			broker.id, plural(len(plan.Stuck), "partition"), have(len(plan.Stuck)), someOf(plan.Stuck))}
	}
	if dryRun {
		plan.Status = "would be drained"
		return plan, nil
	}
	yes := "true"
	plan.Status = "draining"
	return plan, setBrokerConfig(ctx, s.client, controller, broker.id, drainSetting, &yes)
}

// withoutLeaving takes replicas that are being moved away out of partitions: their brokers are free for others.
func withoutLeaving(partitions []kadm.PartitionDetail, moves []reassignment) []kadm.PartitionDetail {
	leaving := map[topicPartition][]int32{}
	for _, m := range moves {
		leaving[topicPartition{m.Topic, m.Partition}] = m.Removing
	}
	list := slices.Clone(partitions)
	for i, p := range list {
		from := leaving[topicPartition{p.Topic, p.Partition}]
		list[i].Replicas = slices.DeleteFunc(slices.Clone(p.Replicas), func(id int32) bool { return slices.Contains(from, id) })
	}
	return list
}

func have(n int) string {
	if n == 1 {
		return "has replicas"
	}
	return "have replicas"
}

// planDrain counts what lies on the broker and finds what has no other place: a partition needs another broker, alive,
// that does not hold it yet.
func planDrain(broker int32, list []clusterMember, partitions []kadm.PartitionDetail) drainPlan {
	plan := drainPlan{Broker: broker, Stuck: []string{}}
	for _, p := range partitions {
		if !slices.Contains(p.Replicas, broker) {
			continue
		}
		plan.Replicas++
		if p.Leader == broker {
			plan.Leaders++
		}
		free := slices.ContainsFunc(list, func(m clusterMember) bool { return !m.fenced && m.id != broker && !slices.Contains(p.Replicas, m.id) })
		if !free {
			plan.Stuck = append(plan.Stuck, partitionName(p))
		}
	}
	return plan
}

// looksUntilEnded is how many looks in a row have to say that a broker is not drained before that is the end of the drain and not
// its beginning: the broker itself learns of it a moment later.
const looksUntilEnded = 6

// awaitDrained returns when the broker holds no replica any more, or somebody has ended the drain.
func (s *session) awaitDrained(cmd *cobra.Command, broker int32) error {
	ended := 0
	return s.await(cmd, func(ctx context.Context, admin *kadm.Client) (bool, string, error) {
		partitions, err := allPartitions(ctx, admin)
		if err != nil {
			return false, "", err
		}
		left := planDrain(broker, nil, partitions)
		switch brokerSettings(ctx, admin, broker)[drainSetting] {
		case "true":
			ended = looksUntilEnded - 1 // one is enough from now on
		case "false":
			ended++
		}
		if ended >= looksUntilEnded && left.Replicas > 0 {
			return false, "", &failure{code: exitFailed, message: fmt.Sprintf("broker %d is not drained any more (millrace cluster undrain): %s left", broker, plural(left.Replicas, "replica"))}
		}
		return left.Replicas == 0, fmt.Sprintf("broker %d: %s left, %s", broker, plural(left.Replicas, "replica"), plural(left.Leaders, "leader")), nil
	})
}

func newClusterUndrainCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:               "undrain BROKER",
		Short:             "Let a draining broker take replicas again",
		Long:              "Ends a drain. What was moved away comes back only as the cluster balances itself; what is being moved now is taken back.",
		Example:           "  millrace cluster undrain 3",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeBrokers(),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel, _, err := s.admin(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			list, controller, err := members(ctx, s.client)
			if err != nil {
				return err
			}
			broker, err := brokerArgument(args[0], list)
			if err != nil {
				return err
			}
			var done outcomes
			done.add("broker", strconv.Itoa(int(broker.id)), "not draining", setBrokerConfig(ctx, s.client, controller, broker.id, drainSetting, nil))
			return done.print(s, cmd, "BROKER")
		},
	}
}
