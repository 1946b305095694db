package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func newTopicSetReplicasCommand(s *session) *cobra.Command {
	var replicas int
	var wait, dryRun bool
	cmd := &cobra.Command{
		Use:   "set-replicas TOPIC...",
		Short: "Give topics more or fewer replicas",
		Long: `Gives every partition of the topics so many replicas. New ones go to the brokers that hold least, spread over racks; the
leader always stays. Copying takes its time: 'cluster reassign list' shows what is under way.`,
		Example: `  millrace topic set-replicas orders --replicas 3
  millrace topic set-replicas orders --replicas 3 --dry-run`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: s.completeTopics(),
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := s.planReplicas(cmd, args, replicas)
			if err != nil {
				return err
			}
			if err := s.alterAssignments(cmd, request, fmt.Sprintf("changed to %s", plural(replicas, "replica")), dryRun); err != nil || !wait || dryRun {
				return err
			}
			return s.await(cmd, func(context.Context, *kadm.Client) (bool, string, error) {
				left, err := s.reassignments(cmd, args)
				return len(left) == 0, plural(len(left), "partition") + " under way", err
			})
		},
	}
	f := cmd.Flags()
	f.IntVarP(&replicas, "replicas", "r", 0, "number of replicas of each partition")
	f.BoolVarP(&wait, "wait", "w", false, "wait until every replica is where it shall be")
	f.BoolVar(&dryRun, "dry-run", false, "show what would be changed, change nothing")
	_ = cmd.MarkFlagRequired("replicas")
	return cmd
}

// planReplicas finds the new replicas of every partition that has another number of them.
func (s *session) planReplicas(cmd *cobra.Command, topics []string, replicas int) (kadm.AlterPartitionAssignmentsReq, error) {
	ctx, cancel, admin, err := s.admin(cmd)
	if err != nil {
		return nil, err
	}
	defer cancel()
	list, _, err := members(ctx, s.client)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(m clusterMember) bool {
		return m.fenced || brokerSettings(ctx, admin, m.id)[drainSetting] == "true"
	})
	if replicas < 1 || replicas > len(list) {
		return nil, usagef("--replicas %d: the cluster has %s that can take replicas", replicas, plural(len(list), "broker"))
	}
	found, missing, err := findTopics(ctx, admin, topics, false, true)
	if err == nil {
		err = missing.err()
	}
	if err != nil {
		return nil, err
	}
	everything, err := allPartitions(ctx, admin)
	if err != nil {
		return nil, err
	}
	placement := newPlacement(list, everything)
	var request kadm.AlterPartitionAssignmentsReq
	for _, t := range found {
		for _, p := range t.Partitions.Sorted() {
			if len(p.Replicas) != replicas {
				request.Assign(p.Topic, p.Partition, placement.resize(p, replicas))
			}
		}
	}
	return request, nil
}

// placement chooses brokers for replicas, by how many they hold and by rack.
type placement struct {
	brokers []clusterMember
	load    map[int32]int
}

func newPlacement(brokers []clusterMember, partitions []kadm.PartitionDetail) *placement {
	p := &placement{brokers: brokers, load: map[int32]int{}}
	for _, partition := range partitions {
		for _, id := range partition.Replicas {
			p.load[id]++
		}
	}
	return p
}

// resize returns a list of that many replicas, with as few changes as that takes.
func (p *placement) resize(partition kadm.PartitionDetail, count int) []int32 {
	replicas := slices.Clone(partition.Replicas)
	for len(replicas) > count {
		i := p.dispensable(partition, replicas)
		p.load[replicas[i]]--
		replicas = slices.Delete(replicas, i, i+1)
	}
	for len(replicas) < count {
		id, ok := p.best(replicas)
		if !ok {
			break
		}
		p.load[id]++
		replicas = append(replicas, id)
	}
	return replicas
}

// best is the broker for one more replica: in the rack with the fewest of them, and there the one that holds least.
func (p *placement) best(replicas []int32) (best int32, ok bool) {
	var bestScore [2]int
	for _, b := range p.brokers {
		if slices.Contains(replicas, b.id) {
			continue
		}
		score := [2]int{p.inRack(b.rack, replicas), p.load[b.id]}
		if !ok || slices.Compare(score[:], bestScore[:]) < 0 {
			best, bestScore, ok = b.id, score, true
		}
	}
	return best, ok
}

// dispensable is the index of the replica to take away: never the leader, rather one that is not in sync, shares its rack,
// or lies on the broker that holds most.
func (p *placement) dispensable(partition kadm.PartitionDetail, replicas []int32) int {
	worst, found := len(replicas)-1, false
	var worstScore [3]int
	for i, id := range replicas {
		if id == partition.Leader {
			continue
		}
		score := [3]int{1, p.inRack(p.rack(id), replicas), p.load[id]}
		if slices.Contains(partition.ISR, id) {
			score[0] = 0
		}
		if !found || slices.Compare(score[:], worstScore[:]) > 0 {
			worst, worstScore, found = i, score, true
		}
	}
	return worst
}

func (p *placement) rack(id int32) string {
	if i := slices.IndexFunc(p.brokers, func(m clusterMember) bool { return m.id == id }); i >= 0 {
		return p.brokers[i].rack
	}
	return ""
}

func (p *placement) inRack(rack string, replicas []int32) int {
	count := 0
	for _, id := range replicas {
		if p.rack(id) == rack {
			count++
		}
	}
	return count
}
