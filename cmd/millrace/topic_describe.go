package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type describedTopic struct {
	Name              string               `json:"name"`
	ID                string               `json:"id"`
	Internal          bool                 `json:"internal"`
	ReplicationFactor int                  `json:"replication_factor"`
	Partitions        []describedPartition `json:"partitions"`
	Configs           []describedConfig    `json:"configs"`
}

type describedPartition struct {
	Partition   int32   `json:"partition"`
	Leader      int32   `json:"leader"`
	LeaderEpoch int32   `json:"leader_epoch"`
	Replicas    []int32 `json:"replicas"`
	ISR         []int32 `json:"isr"`
	Eligible    []int32 `json:"eligible_leader_replicas"` // null: the broker does not tell
	LastKnown   []int32 `json:"last_known_elr"`           // null: the broker does not tell
	Offline     []int32 `json:"offline_replicas"`
	StartOffset int64   `json:"start_offset"`
	EndOffset   int64   `json:"end_offset"`
	Error       string  `json:"error,omitempty"`
}

type describedConfig struct {
	Name      string  `json:"name"`
	Value     *string `json:"value"`
	Source    string  `json:"source"`
	Sensitive bool    `json:"sensitive,omitempty"`
}

type describeSections struct{ summary, partitions, configs bool }

func newTopicDescribeCommand(s *session) *cobra.Command {
	var show describeSections
	var byPattern bool
	cmd := &cobra.Command{
		Use:     "describe TOPIC...",
		Aliases: []string{"get"},
		Short:   "Show partitions, offsets and configuration of topics",
		Long: `Show partitions, offsets and configuration of topics.
The table shows the configuration that differs from the default; --format wide shows all of it.`,
		Example: `  millrace topic describe orders
  millrace topic describe orders --partitions
  millrace topic describe orders --configs --format wide
  millrace topic describe orders --format json | jq '.[0].partitions[].end_offset'`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: s.completeTopics(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if show == (describeSections{}) {
				show = describeSections{true, true, true}
			}
			ctx, cancel, admin, err := s.admin(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			topics, missing, err := findTopics(ctx, admin, args, byPattern, true)
			if err != nil {
				return fmt.Errorf("describe topics: %w", err)
			}
			described, err := describeTopics(ctx, s.client, topics)
			if err != nil {
				return err
			}
			var tables []*table
			for _, t := range described {
				tables = append(tables, t.tables(show, s.settings.get("format") == "wide")...)
			}
			if len(described) > 0 || len(missing.errs) == 0 {
				if err := s.print(cmd, described, tables...); err != nil {
					return err
				}
			}
			return missing.err()
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&show.summary, "summary", "s", false, "show the summary section")
	f.BoolVarP(&show.partitions, "partitions", "p", false, "show the partitions section")
	f.BoolVarP(&show.configs, "configs", "c", false, "show the configuration section")
	f.BoolVarP(&byPattern, "regex", "r", false, "TOPIC is a regular expression that matches whole names")
	return cmd
}

func describeTopics(ctx context.Context, client *kgo.Client, topics []kadm.TopicDetail) ([]describedTopic, error) {
	out := []describedTopic{}
	if len(topics) == 0 {
		return out, nil
	}
	var names []string
	for _, t := range topics {
		names = append(names, t.Topic)
	}
	starts, ends := describedOffsets(ctx, client, topics)
	eligible := findEligible(ctx, client, names)
	configs, err := kadm.NewClient(client).DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("describe configuration: %w", err)
	}
	for _, t := range topics {
		d := describedTopic{Name: t.Topic, ID: topicIDText(t.ID), Internal: t.IsInternal, ReplicationFactor: t.Partitions.NumReplicas(), Configs: []describedConfig{}}
		for _, p := range t.Partitions.Sorted() {
			described := describePartition(p, starts, ends)
			e := eligible[t.Topic][p.Partition]
			described.Eligible, described.LastKnown = e.replicas, e.lastKnown
			d.Partitions = append(d.Partitions, described)
		}
		if i := slices.IndexFunc(configs, func(c kadm.ResourceConfig) bool { return c.Name == t.Topic }); i >= 0 {
			d.Configs = describeConfigs(configs[i].Configs)
		}
		out = append(out, d)
	}
	return out, nil
}

// describedOffsets asks where the partitions with a leader begin and end, and not for long: when some are away, how the others
// are is what somebody wants to see.
func describedOffsets(ctx context.Context, client *kgo.Client, topics []kadm.TopicDetail) (starts, ends kadm.ListedOffsets) {
	led := map[string][]int32{}
	for _, t := range topics {
		for _, p := range t.Partitions {
			if p.Leader >= 0 && p.Err == nil {
				led[t.Topic] = append(led[t.Topic], p.Partition)
			}
		}
	}
	if len(led) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, quorumPatience)
	defer cancel()
	return partitionOffsets(ctx, client, led, earliestOffset, false), partitionOffsets(ctx, client, led, latestOffset, false)
}

func describePartition(p kadm.PartitionDetail, starts, ends kadm.ListedOffsets) describedPartition {
	d := describedPartition{Partition: p.Partition, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, StartOffset: -1, EndOffset: -1,
		Replicas: orEmpty(p.Replicas), ISR: orEmpty(p.ISR), Offline: orEmpty(p.OfflineReplicas)}
	if p.Err != nil {
		d.Error = p.Err.Error()
	}
	if o, ok := starts.Lookup(p.Topic, p.Partition); ok && o.Err == nil {
		d.StartOffset = o.Offset
	}
	if o, ok := ends.Lookup(p.Topic, p.Partition); ok && o.Err == nil {
		d.EndOffset = o.Offset
	} else if d.Error == "" && ok {
		d.Error = o.Err.Error()
	}
	return d
}

func describeConfigs(configs []kadm.Config) []describedConfig {
	out := []describedConfig{}
	for _, c := range configs {
		out = append(out, describedConfig{Name: c.Key, Value: c.Value, Source: c.Source.String(), Sensitive: c.Sensitive})
	}
	slices.SortFunc(out, func(a, b describedConfig) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (c describedConfig) isDefault() bool {
	return c.Source == kmsg.ConfigSourceDefaultConfig.String()
}

func (c describedConfig) text() string {
	switch {
	case c.Sensitive:
		return "(hidden)"
	case c.Value == nil:
		return "(null)"
	}
	return *c.Value
}

func (d describedTopic) tables(show describeSections, wide bool) []*table {
	var out []*table
	if show.summary {
		t := newTable("TOPIC", "ID", "PARTITIONS", "REPLICAS", "INTERNAL")
		t.row(d.Name, d.ID, len(d.Partitions), d.ReplicationFactor, d.Internal)
		out = append(out, t)
	}
	if show.partitions {
		t := newTable("PARTITION", "LEADER", "+EPOCH", "REPLICAS", "ISR", "ELR", "LAST-KNOWN-ELR", "+OFFLINE", "START", "END", "RECORDS", "+ERROR")
		for _, p := range d.Partitions {
			t.row(p.Partition, p.Leader, p.LeaderEpoch, joinIDs(p.Replicas), joinIDs(p.ISR), eligibleText(p.Eligible), eligibleText(p.LastKnown), joinIDs(p.Offline), p.StartOffset, p.EndOffset, max(0, p.EndOffset-p.StartOffset), p.Error)
		}
		out = append(out, t)
	}
	if show.configs {
		t := newTable("CONFIG", "VALUE", "SOURCE")
		for _, c := range d.Configs {
			if wide || !c.isDefault() {
				t.row(c.Name, c.text(), c.Source)
			}
		}
		if len(t.rows) > 0 {
			out = append(out, t)
		}
	}
	return out
}

// topicIDText is how Kafka's tools write a topic id; a broker without topic ids has none.
func topicIDText(id kadm.TopicID) string {
	if id == (kadm.TopicID{}) {
		return "-"
	}
	return base64.RawURLEncoding.EncodeToString(id[:])
}

func orEmpty(ids []int32) []int32 {
	if ids == nil {
		return []int32{}
	}
	return ids
}

func joinIDs(ids []int32) string {
	if len(ids) == 0 {
		return "-"
	}
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = strconv.Itoa(int(id))
	}
	return strings.Join(words, ",")
}
