package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func newClusterConfigCommand(s *session) *cobra.Command {
	return noun("config", "configs", "Look at and change the configuration of brokers",
		`  millrace cluster config list
  millrace cluster config get log.retention.hours
  millrace cluster config set log.retention.ms=259200000
  millrace cluster config diff`,
		newClusterConfigListCommand(s), newClusterConfigGetCommand(s), newClusterConfigSetCommand(s), newClusterConfigDiffCommand(s))
}

func newClusterConfigListCommand(s *session) *cobra.Command {
	var broker int32
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the configuration of a broker",
		Example: "  millrace cluster config list\n  millrace cluster config list --broker 2 --format json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			configs, err := s.brokerConfigs(cmd, broker)
			if err != nil {
				return err
			}
			return s.print(cmd, configs, configTable(configs))
		},
	}
	addBrokerFlag(cmd, &broker)
	return cmd
}

func newClusterConfigGetCommand(s *session) *cobra.Command {
	var broker int32
	cmd := &cobra.Command{
		Use:     "get KEY...",
		Short:   "Show single keys of a broker's configuration",
		Example: "  millrace cluster config get log.retention.hours num.partitions",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			configs, err := s.brokerConfigs(cmd, broker)
			if err != nil {
				return err
			}
			var missing itemErrors
			found := []describedConfig{}
			for _, key := range args {
				i := slices.IndexFunc(configs, func(c describedConfig) bool { return c.Name == key })
				if i < 0 {
					missing.add("key "+key, notFoundf("the broker does not know it\nList keys: millrace cluster config list"))
					continue
				}
				found = append(found, configs[i])
			}
			if len(found) > 0 {
				if err := s.print(cmd, found, configTable(found)); err != nil {
					return err
				}
			}
			return missing.err()
		},
	}
	addBrokerFlag(cmd, &broker)
	return cmd
}

// clusterDefault stands for the default of all brokers.
const clusterDefault = -1

func newClusterConfigSetCommand(s *session) *cobra.Command {
	var changes configChanges
	var broker int32
	cmd := &cobra.Command{
		Use:   "set [KEY=VALUE...]",
		Short: "Change the configuration of all brokers, or of one",
		Example: `  millrace cluster config set log.retention.ms=259200000 log.segment.bytes=268435456
  millrace cluster config set log.retention.ms=259200000 --broker 2
  millrace cluster config set --delete log.retention.ms`,
		RunE: func(cmd *cobra.Command, args []string) error {
			changes.set = append(changes.set, args...)
			operations, err := changes.operations()
			if err != nil {
				return err
			}
			ctx, cancel, admin, err := s.admin(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			var brokers []int32
			name := "all brokers"
			if broker != clusterDefault {
				brokers, name = []int32{broker}, fmt.Sprintf("broker %d", broker)
			}
			alter, status := admin.AlterBrokerConfigs, "altered"
			if changes.dryRun {
				alter, status = admin.ValidateAlterBrokerConfigs, "would be altered"
			}
			responses, err := confirmed(ctx, func() (kadm.AlterConfigsResponses, error) { return alter(ctx, operations, brokers...) })
			if err != nil && len(responses) == 0 {
				return fmt.Errorf("alter the configuration of %s: %w", name, err)
			}
			var done outcomes
			for _, r := range responses {
				done.add("configuration of", name, status, brokerError(r.Err, r.ErrMessage))
			}
			return done.print(s, cmd, "BROKERS")
		},
	}
	changes.addFlags(cmd)
	must(cmd.Flags().MarkHidden("set"))
	cmd.Flags().Int32Var(&broker, "broker", clusterDefault, "only this broker")
	return cmd
}

// unconfirmedPause is the pause before a change that was not confirmed is made again.
const unconfirmedPause = 200 * time.Millisecond

// confirmed makes a change of settings again while the answer is that nobody knows whether it was made (the controller has moved
// meanwhile), until ctx ends, as Kafka's own clients do. Each change may be made twice: what is appended is not appended again.
func confirmed(ctx context.Context, alter func() (kadm.AlterConfigsResponses, error)) (kadm.AlterConfigsResponses, error) {
	for {
		responses, err := alter()
		unknown := slices.ContainsFunc(responses, func(r kadm.AlterConfigsResponse) bool { return errors.Is(r.Err, kerr.RequestTimedOut) })
		if err != nil || !unknown {
			return responses, err
		}
		select {
		case <-time.After(unconfirmedPause):
		case <-ctx.Done():
			return responses, nil
		}
	}
}

type configDifference struct {
	Name   string             `json:"name"`
	Values map[string]*string `json:"values"`
}

func newClusterConfigDiffCommand(s *session) *cobra.Command {
	var broker int32
	cmd := &cobra.Command{
		Use:   "diff [BROKER BROKER]",
		Short: "Show what differs from the defaults, or between two brokers",
		Example: `  millrace cluster config diff
  millrace cluster config diff 1 2`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return usagef("name two brokers, or none to compare with the defaults")
			}
			if len(args) == 2 {
				return s.diffBrokers(cmd, args)
			}
			configs, err := s.brokerConfigs(cmd, broker)
			if err != nil {
				return err
			}
			configs = slices.DeleteFunc(configs, describedConfig.isDefault)
			return s.print(cmd, configs, configTable(configs))
		},
	}
	addBrokerFlag(cmd, &broker)
	return cmd
}

func (s *session) diffBrokers(cmd *cobra.Command, args []string) error {
	var sides [2]map[string]describedConfig
	names := map[string]bool{}
	for i, arg := range args {
		id, err := strconv.ParseInt(arg, 10, 32)
		if err != nil {
			return usagef("%s is no broker id", quote(arg))
		}
		configs, err := s.brokerConfigs(cmd, int32(id))
		if err != nil {
			return err
		}
		sides[i] = map[string]describedConfig{}
		for _, c := range configs {
			sides[i][c.Name] = c
			names[c.Name] = true
		}
	}
	list := []configDifference{}
	t := newTable("CONFIG", "BROKER-"+args[0], "BROKER-"+args[1])
	for _, name := range sortedKeys(names) {
		left, right := sides[0][name], sides[1][name]
		if left.text() == right.text() {
			continue
		}
		list = append(list, configDifference{name, map[string]*string{args[0]: left.Value, args[1]: right.Value}})
		t.row(name, left.text(), right.text())
	}
	return s.print(cmd, list, t)
}

func addBrokerFlag(cmd *cobra.Command, broker *int32) {
	cmd.Flags().Int32Var(broker, "broker", clusterDefault, "id of the broker (default: the first one)")
}

// brokerConfigs asks one broker for its configuration.
func (s *session) brokerConfigs(cmd *cobra.Command, broker int32) ([]describedConfig, error) {
	ctx, cancel, admin, err := s.admin(cmd)
	if err != nil {
		return nil, err
	}
	defer cancel()
	if broker, err = knownBroker(ctx, admin, broker); err != nil {
		return nil, err
	}
	resources, err := admin.DescribeBrokerConfigs(ctx, broker)
	if err != nil && len(resources) == 0 {
		return nil, fmt.Errorf("describe the configuration of broker %d: %w", broker, err)
	}
	if len(resources) == 0 {
		return nil, fmt.Errorf("describe the configuration of broker %d: the answer is empty", broker)
	}
	if r := resources[0]; r.Err != nil {
		return nil, fmt.Errorf("describe the configuration of broker %d: %w", broker, brokerError(r.Err, r.ErrMessage))
	}
	return describeConfigs(resources[0].Configs), nil
}

// knownBroker is the broker itself when the cluster has it, or the first broker when none was named.
func knownBroker(ctx context.Context, admin *kadm.Client, broker int32) (int32, error) {
	brokers, err := admin.ListBrokers(ctx)
	if err != nil {
		return 0, fmt.Errorf("list brokers: %w", err)
	}
	ids := brokers.NodeIDs()
	slices.Sort(ids)
	if broker == clusterDefault && len(ids) > 0 {
		return ids[0], nil
	}
	if !slices.Contains(ids, broker) {
		return 0, notFoundf("there is no broker %d; brokers: %s", broker, joinIDs(ids))
	}
	return broker, nil
}

func configTable(configs []describedConfig) *table {
	t := newTable("CONFIG", "VALUE", "SOURCE")
	for _, c := range configs {
		t.row(c.Name, c.text(), c.Source)
	}
	return t
}

func sortedKeys(set map[string]bool) []string {
	var out []string
	for k := range set {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
