package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Settings of brokers by which the controller is told to move replicas.
const (
	drainSetting       = "millrace.drain"
	balanceSetting     = "millrace.balance.enable"
	movesSetting       = "millrace.balance.concurrent.moves"
	balanceRateSetting = "millrace.balance.throttle.bytes.per.second"
)

// clusterMember is one broker of the cluster, fenced ones too.
type clusterMember struct {
	id     int32
	rack   string
	fenced bool
}

// members asks for every registered broker. Fenced ones are known only to clusters that tell of them (Kafka 4.0).
func members(ctx context.Context, client *kgo.Client) (list []clusterMember, controller int32, err error) {
	request := kmsg.NewPtrDescribeClusterRequest()
	request.IncludeFencedBrokers = true
	answer, err := request.RequestWith(ctx, client)
	if err == nil {
		err = brokerError(kerr.ErrorForCode(answer.ErrorCode), deref(answer.ErrorMessage))
	}
	if err != nil {
		return nil, -1, fmt.Errorf("describe the cluster: %w", err)
	}
	for _, b := range answer.Brokers {
		list = append(list, clusterMember{id: b.NodeID, rack: deref(b.Rack), fenced: b.IsFenced})
	}
	slices.SortFunc(list, func(a, b clusterMember) int { return int(a.id) - int(b.id) })
	return list, answer.ControllerID, nil
}

func memberIDs(list []clusterMember) []int32 {
	ids := make([]int32, len(list))
	for i, m := range list {
		ids[i] = m.id
	}
	return ids
}

// brokerArgument reads the id of a broker that the cluster knows.
func brokerArgument(text string, list []clusterMember) (clusterMember, error) {
	id, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return clusterMember{}, usagef("%s is no broker id", quote(text))
	}
	i := slices.IndexFunc(list, func(m clusterMember) bool { return m.id == int32(id) })
	if i < 0 {
		return clusterMember{}, notFoundf("there is no broker %d; brokers: %s", id, joinIDs(memberIDs(list)))
	}
	return list[i], nil
}

// completeBrokers offers the ids of brokers.
func (s *session) completeBrokers() func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel, _, err := s.admin(cmd)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer cancel()
		list, _, _ := members(ctx, s.client)
		var ids []string
		for _, m := range list {
			ids = append(ids, strconv.Itoa(int(m.id)))
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}

// setBrokerConfig changes one setting of a broker, or of all (clusterDefault). It asks the controller and not the broker
// itself, as clients do, because that one may be down. A nil value removes the override.
func setBrokerConfig(ctx context.Context, client *kgo.Client, controller, broker int32, name string, value *string) error {
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType = kmsg.ConfigResourceTypeBroker
	if broker != clusterDefault {
		resource.ResourceName = strconv.Itoa(int(broker))
	}
	change := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	change.Name, change.Op, change.Value = name, kmsg.IncrementalAlterConfigOpSet, value
	if value == nil {
		change.Op = kmsg.IncrementalAlterConfigOpDelete
	}
	resource.Configs = append(resource.Configs, change)
	request.Resources = append(request.Resources, resource)
	answer, err := client.Broker(int(controller)).RetriableRequest(ctx, request)
	if err != nil {
		return fmt.Errorf("alter %s: %w", name, err)
	}
	for _, r := range answer.(*kmsg.IncrementalAlterConfigsResponse).Resources {
		if err := brokerError(kerr.ErrorForCode(r.ErrorCode), deref(r.ErrorMessage)); err != nil {
			return fmt.Errorf("alter %s: %w", name, err)
		}
	}
	return nil
}

// brokerSettings are the effective values of a broker's settings by name; nil when it does not answer.
func brokerSettings(ctx context.Context, admin *kadm.Client, broker int32) map[string]string {
	resources, err := admin.DescribeBrokerConfigs(ctx, broker)
	if err != nil || len(resources) == 0 || resources[0].Err != nil {
		return nil
	}
	values := map[string]string{}
	for _, c := range resources[0].Configs {
		values[c.Key] = c.MaybeValue()
	}
	return values
}

// allPartitions returns every partition, those of internal topics too.
func allPartitions(ctx context.Context, admin *kadm.Client) ([]kadm.PartitionDetail, error) {
	topics, err := admin.ListTopicsWithInternal(ctx)
	if err != nil {
		return nil, fmt.Errorf("list partitions: %w", err)
	}
	var list []kadm.PartitionDetail
	for _, t := range topics.Sorted() {
		list = append(list, t.Partitions.Sorted()...)
	}
	return list, nil
}

func partitionName(p kadm.PartitionDetail) string { return fmt.Sprintf("%s:%d", p.Topic, p.Partition) }

// pollInterval is how often a waiting verb looks.
const pollInterval = 500 * time.Millisecond

// await looks until done says so, and tells of each change of what it says on the way.
func (s *session) await(cmd *cobra.Command, look func(context.Context, *kadm.Client) (done bool, state string, err error)) error {
	said := ""
	for {
		ctx, cancel := s.deadline(cmd)
		done, state, err := look(ctx, kadm.NewClient(s.client))
		cancel()
		if cmd.Context().Err() != nil {
			return interrupted(said)
		}
		if err != nil && !isNetwork(err) && !isTimeout(err) {
			return err
		}
		if err != nil {
			state = "no answer, trying again: " + firstLine(err.Error())
		}
		if state != said && state != "" {
			note(cmd, "%s", state)
			said = state
		}
		if done && err == nil {
			return nil
		}
		select {
		case <-time.After(pollInterval):
		case <-cmd.Context().Done():
			return interrupted(said)
		}
	}
}
