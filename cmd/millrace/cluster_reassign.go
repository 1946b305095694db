package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type reassignment struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	Replicas  []int32 `json:"replicas"`
	Adding    []int32 `json:"adding"`
	Removing  []int32 `json:"removing"`
}

func newClusterReassignListCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:               "list [TOPIC...]",
		Aliases:           []string{"ls"},
		Short:             "List the replicas that are being moved",
		Example:           "  millrace cluster reassign list",
		ValidArgsFunction: s.completeTopics(),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := s.reassignments(cmd, args)
			if err != nil {
				return err
			}
			t := newTable("TOPIC", "PARTITION", "REPLICAS", "ADDING", "REMOVING")
			for _, r := range list {
				t.row(r.Topic, r.Partition, joinIDs(r.Replicas), joinIDs(r.Adding), joinIDs(r.Removing))
			}
			return s.print(cmd, list, t)
		},
	}
}

// reassignments lists what is under way, of all topics or of those named.
func (s *session) reassignments(cmd *cobra.Command, topics []string) ([]reassignment, error) {
	ctx, cancel, admin, err := s.admin(cmd)
	if err != nil {
		return nil, err
	}
	defer cancel()
	request := kmsg.NewPtrListPartitionReassignmentsRequest()
	if len(topics) > 0 {
		found, missing, err := findTopics(ctx, admin, topics, false, true)
		if err == nil {
			err = missing.err()
		}
		if err != nil {
			return nil, err
		}
		for _, t := range found {
			request.Topics = append(request.Topics, kmsg.ListPartitionReassignmentsRequestTopic{Topic: t.Topic, Partitions: t.Partitions.Numbers()})
		}
	}
	return listReassignments(ctx, s.client, request)
}

// listReassignments asks without kadm, which answers a request for all topics itself, with nothing.
func listReassignments(ctx context.Context, client *kgo.Client, request *kmsg.ListPartitionReassignmentsRequest) ([]reassignment, error) {
	answer, err := request.RequestWith(ctx, client)
	if err == nil {
		err = brokerError(kerr.ErrorForCode(answer.ErrorCode), deref(answer.ErrorMessage))
	}
	if err != nil {
		return nil, fmt.Errorf("list reassignments: %w", err)
	}
	list := []reassignment{}
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			if len(p.AddingReplicas)+len(p.RemovingReplicas) > 0 {
				list = append(list, reassignment{t.Topic, p.Partition, orEmpty(p.Replicas), orEmpty(p.AddingReplicas), orEmpty(p.RemovingReplicas)})
			}
		}
	}
	slices.SortFunc(list, func(a, b reassignment) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return list, nil
}

// addingReplicas says which replicas are being added, by partition; nothing where that cannot be learned.
func addingReplicas(ctx context.Context, client *kgo.Client) map[topicPartition][]int32 {
	ctx, cancel := context.WithTimeout(ctx, quorumPatience)
	defer cancel()
	list, err := listReassignments(ctx, client, kmsg.NewPtrListPartitionReassignmentsRequest())
	if err != nil {
		return nil
	}
	adding := map[topicPartition][]int32{}
	for _, r := range list {
		adding[topicPartition{r.Topic, r.Partition}] = r.Adding
	}
	return adding
}

// established returns the replicas of a partition without those that are being added and are not in sync yet: nobody misses them.
func established(p kadm.PartitionDetail, adding map[topicPartition][]int32) []int32 {
	coming := adding[topicPartition{p.Topic, p.Partition}]
	return slices.DeleteFunc(slices.Clone(p.Replicas), func(id int32) bool { return slices.Contains(coming, id) && !slices.Contains(p.ISR, id) })
}

func newClusterReassignCancelCommand(s *session) *cobra.Command {
	var all, dryRun bool
	cmd := &cobra.Command{
		Use:   "cancel [TOPIC...]",
		Short: "Stop moving replicas and go back to where they were",
		Long: `Cancels the reassignments of the topics, or all of them. Replicas that were being added are removed again. The controller
begins others where a broker is draining ('cluster undrain') or the cluster is out of balance ('cluster balance pause').`,
		Example: `  millrace cluster reassign cancel orders
  millrace cluster reassign cancel --all`,
		ValidArgsFunction: s.completeTopics(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return usagef("name topics, or give --all")
			}
			list, err := s.reassignments(cmd, args)
			if err != nil {
				return err
			}
			var request kadm.AlterPartitionAssignmentsReq
			for _, r := range list {
				request.CancelAssign(r.Topic, r.Partition)
			}
			if err := s.alterAssignments(cmd, request, "cancelled", dryRun); err != nil || dryRun {
				return err
			}
			return s.tellWhoBeginsAgain(cmd)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "of all topics")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be cancelled, change nothing")
	return cmd
}

// tellWhoBeginsAgain names what makes the controller begin the same moves anew.
func (s *session) tellWhoBeginsAgain(cmd *cobra.Command) error {
	ctx, cancel := s.deadline(cmd)
	defer cancel()
	admin := kadm.NewClient(s.client)
	list, _, err := members(ctx, s.client)
	if err != nil {
		return err
	}
	for _, m := range list {
		if brokerSettings(ctx, admin, m.id)[drainSetting] == "true" {
			note(cmd, "broker %d is being drained: what leaves it for that begins again, until 'millrace cluster undrain %d'", m.id, m.id)
		}
	}
	return nil
}

// alterAssignments sends a request of which each partition has an outcome of its own.
func (s *session) alterAssignments(cmd *cobra.Command, request kadm.AlterPartitionAssignmentsReq, status string, dryRun bool) error {
	var done outcomes
	done.list = []outcome{}
	if dryRun {
		for topic, partitions := range request {
			for number := range partitions {
				done.add("partition", topic+":"+strconv.Itoa(int(number)), "would be "+status, nil)
			}
		}
		sortOutcomes(done.list)
		return done.print(s, cmd, "PARTITION")
	}
	ctx, cancel, admin, err := s.admin(cmd)
	if err != nil {
		return err
	}
	defer cancel()
	responses, err := admin.AlterPartitionAssignments(ctx, request)
	if err != nil {
		return fmt.Errorf("alter the assignment of replicas: %w", err)
	}
	for _, r := range responses.Sorted() {
		done.add("partition", r.Topic+":"+strconv.Itoa(int(r.Partition)), status, brokerError(r.Err, r.ErrMessage))
	}
	return done.print(s, cmd, "PARTITION")
}
