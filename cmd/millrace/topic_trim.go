package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

type trimmedPartition struct {
	Topic       string `json:"topic"`
	Partition   int32  `json:"partition"`
	StartBefore int64  `json:"start_offset_before"`
	Start       int64  `json:"start_offset"`
	Records     int64  `json:"records"`
	Status      string `json:"status"`
	Error       string `json:"error,omitempty"`
}

func newTopicTrimCommand(s *session) *cobra.Command {
	var offset string
	var partitions []int32
	var yes, dryRun bool
	cmd := &cobra.Command{
		Use:   "trim TOPIC --offset OFFSET",
		Short: "Delete the oldest records of a topic, up to an offset or a time",
		Long:  "Delete the oldest records of a topic: everything before the offset.\n\n" + offsetHelp,
		Example: `  millrace topic trim orders --offset @-7d           # everything older than a week
  millrace topic trim orders --offset -1000 --dry-run   # keep the last 1000 of each partition
  millrace topic trim orders --partitions 0 --offset 42 --yes`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeFirst(s.completeTopics()),
		RunE: func(cmd *cobra.Command, args []string) error {
			if offset == "" {
				return usagef("--offset is missing: it says where the topic shall start")
			}
			r, err := parseOffsets(offset, time.Now())
			if err != nil {
				return usagef("--%v", err)
			}
			if r.end.kind != offsetNone {
				return usagef("--offset %s is a range; trim wants one point", offset)
			}
			ctx, cancel, admin, err := s.admin(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			topic, err := oneTopic(ctx, admin, args[0])
			if err != nil {
				return err
			}
			wanted, err := selectPartitions(topic, partitions)
			if err != nil {
				return err
			}
			windows, err := planWindows(ctx, s.client, map[string][]int32{args[0]: wanted}, r, false)
			if err != nil {
				return err
			}
			return s.trim(cmd, admin, windows, yes, dryRun)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&offset, "offset", "o", "", "first offset to keep")
	f.Int32SliceVarP(&partitions, "partitions", "p", nil, "only these partitions")
	f.BoolVarP(&yes, "yes", "y", false, "do not ask")
	f.BoolVar(&dryRun, "dry-run", false, "show what would be deleted, delete nothing")
	return cmd
}

func (s *session) trim(cmd *cobra.Command, admin *kadm.Client, windows []window, yes, dryRun bool) error {
	offsets := kadm.Offsets{}
	var list []trimmedPartition
	var total int64
	for _, w := range windows {
		offsets.AddOffset(w.topic, w.partition, w.from, -1)
		total += w.from - w.logStart
		list = append(list, trimmedPartition{Topic: w.topic, Partition: w.partition, StartBefore: w.logStart, Start: w.from, Records: w.from - w.logStart, Status: "would be trimmed"})
	}
	var failed itemErrors
	if !dryRun {
		if err := confirm(cmd, yes, fmt.Sprintf("Delete %s of topic %s?", plural(int(total), "record"), windows[0].topic)); err != nil {
			return err
		}
		ctx, cancel := s.deadline(cmd)
		defer cancel()
		responses, err := admin.DeleteRecords(ctx, offsets)
		if err != nil && len(responses) == 0 {
			return fmt.Errorf("delete records: %w", err)
		}
		for i := range list {
			r, ok := responses.Lookup(list[i].Topic, list[i].Partition)
			if !ok {
				r.Err = fmt.Errorf("no answer: %w", err)
			}
			list[i].Status, list[i].Start = "trimmed", r.LowWatermark
			if r.Err != nil {
				list[i].Status, list[i].Start, list[i].Error = "failed", list[i].StartBefore, r.Err.Error()
				failed.add(fmt.Sprintf("%s partition %d", list[i].Topic, list[i].Partition), r.Err)
			}
		}
	}
	t := newTable("TOPIC", "PARTITION", "START-BEFORE", "START", "RECORDS", "STATUS")
	for _, p := range list {
		t.row(p.Topic, p.Partition, p.StartBefore, p.Start, p.Records, p.Status)
	}
	if err := s.print(cmd, list, t); err != nil {
		return err
	}
	return failed.err()
}
