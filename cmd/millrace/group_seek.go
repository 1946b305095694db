package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

type soughtPartition struct {
	Group     string `json:"group"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Before    *int64 `json:"offset_before"`
	Offset    int64  `json:"offset"`
	Status    string `json:"status"`
	Error     string `json:"error,omitempty"`
}

type seekOptions struct {
	to, toGroup, toFile string
	topics              []string
	yes, dryRun         bool
}

func newGroupSeekCommand(s *session) *cobra.Command {
	var o seekOptions
	cmd := &cobra.Command{
		Use:   "seek GROUP (--to POINT | --to-group GROUP | --to-file FILE)",
		Short: "Move the committed offsets of a group",
		Long: `Move the committed offsets of a group that has no active member.

Points:
  start | end   the first record there is | after the last one
  N             offset N, moved into the log when it lies outside
  +N | -N       N records forward | back from what is committed
  @T            the first record at or after time T: Unix milliseconds, RFC 3339, 2006-01-02, or -1h (before now)

A file has one line per partition: topic partition offset, separated by spaces, tabs or commas. - reads standard input.
What moves: the partitions that the group has commits for; --topic adds to or narrows that.`,
		Example: `  millrace group seek billing --to start --dry-run
  millrace group seek billing --to @-2h --topic orders
  millrace group seek billing --to -100 --topic orders:0,3 --yes
  millrace group seek billing-v2 --to-group billing
  millrace group seek billing --to-file offsets.txt`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeFirst(s.completeGroups()),
		RunE: func(cmd *cobra.Command, args []string) error {
			given := 0
			for _, flag := range []string{o.to, o.toGroup, o.toFile} {
				if flag != "" {
					given++
				}
			}
			if given != 1 {
				return usagef("give one of --to, --to-group and --to-file")
			}
			return s.seek(cmd, &o, args[0])
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.to, "to", "", "where to move, see above")
	f.StringVar(&o.toGroup, "to-group", "", "take the offsets of this group")
	f.StringVar(&o.toFile, "to-file", "", "take the offsets from this file")
	f.StringArrayVarP(&o.topics, "topic", "t", nil, "only TOPIC or TOPIC:0,1, repeatable")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would move, move nothing")
	must(cmd.RegisterFlagCompletionFunc("to-group", s.completeGroups()))
	must(cmd.RegisterFlagCompletionFunc("topic", s.completeTopics()))
	return cmd
}

func (s *session) seek(cmd *cobra.Command, o *seekOptions, group string) error {
	selection, err := parseTopicPartitions(o.topics)
	if err != nil {
		return err
	}
	ctx, cancel, admin, err := s.admin(cmd)
	if err != nil {
		return err
	}
	defer cancel()
	described, committed, err := s.seekable(ctx, admin, group)
	if err != nil {
		return err
	}
	if err := refuseActive(described, "moved"); err != nil {
		return err
	}
	targets, err := o.targets(ctx, s.client, admin, committed, selection)
	if err != nil {
		return err
	}
	list := []soughtPartition{}
	for _, t := range targets.Sorted() {
		row := soughtPartition{Group: group, Topic: t.Topic, Partition: t.Partition, Offset: t.At, Status: "would move"}
		if c, ok := committed.Lookup(t.Topic, t.Partition); ok && c.At >= 0 {
			row.Before = &c.At
		}
		list = append(list, row)
	}
	if len(list) == 0 {
		return notFoundf("group %s has no commit that matches\nName the topics: --topic TOPIC", quote(group))
	}
	if o.dryRun {
		return s.print(cmd, list, soughtTable(list))
	}
	if !o.yes {
		if err := writeFormatted(cmd.ErrOrStderr(), "table", nil, soughtTable(list)); err != nil {
			return err
		}
	}
	if err := confirm(cmd, o.yes, fmt.Sprintf("Move %s of group %s?", plural(len(list), "partition"), group)); err != nil {
		return err
	}
	return s.commitSeek(cmd, admin, group, targets, list)
}

// seekable describes the group and fetches its commits. A group that does not exist yet can be given offsets.
func (s *session) seekable(ctx context.Context, admin *kadm.Client, group string) (kadm.DescribedGroupLag, kadm.OffsetResponses, error) {
	described, err := s.oneGroup(ctx, admin, group)
	if err != nil && exitCode(err) != exitNotFound {
		return described, nil, err
	}
	committed, err := admin.FetchOffsets(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return described, nil, fmt.Errorf("fetch offsets of group %s: %w", group, err)
	}
	return described, committed, nil
}

// targets works out the new offset of every partition.
func (o *seekOptions) targets(ctx context.Context, client *kgo.Client, admin *kadm.Client, committed kadm.OffsetResponses, selection map[string][]int32) (kadm.Offsets, error) {
	switch {
	case o.toFile != "":
		offsets, err := readOffsetFile(o.toFile)
		offsets.KeepFunc(func(t kadm.Offset) bool { return chosen(selection, t.Topic, t.Partition) })
		return offsets, err
	case o.toGroup != "":
		others, err := admin.FetchOffsets(ctx, o.toGroup)
		if err != nil {
			return nil, fmt.Errorf("fetch offsets of group %s: %w", o.toGroup, err)
		}
		others.KeepFunc(func(r kadm.OffsetResponse) bool { return r.At >= 0 && chosen(selection, r.Topic, r.Partition) })
		return others.Offsets(), nil
	}
	topics, err := seekTopics(ctx, admin, committed, selection)
	if err != nil {
		return nil, err
	}
	return o.pointTargets(ctx, client, committed, topics)
}

// seekTopics is the selection with partitions filled in, or what the group has commits for.
func seekTopics(ctx context.Context, admin *kadm.Client, committed kadm.OffsetResponses, selection map[string][]int32) (map[string][]int32, error) {
	topics := map[string][]int32{}
	if len(selection) == 0 {
		committed.Each(func(r kadm.OffsetResponse) { topics[r.Topic] = append(topics[r.Topic], r.Partition) })
		return topics, nil
	}
	for name, partitions := range selection {
		topic, err := oneTopic(ctx, admin, name)
		if err != nil {
			return nil, err
		}
		if topics[name], err = selectPartitions(topic, partitions); err != nil {
			return nil, err
		}
	}
	return topics, nil
}

func (o *seekOptions) pointTargets(ctx context.Context, client *kgo.Client, committed kadm.OffsetResponses, topics map[string][]int32) (kadm.Offsets, error) {
	r, err := parseOffsets(o.to, time.Now())
	if err != nil || r.end.kind != offsetNone {
		return nil, usagef("--to %s: want start, end, N, +N, -N or @TIME", o.to)
	}
	out := kadm.Offsets{}
	if len(topics) == 0 {
		return out, nil
	}
	windows, err := planWindows(ctx, client, topics, r, false)
	if err != nil {
		return nil, err
	}
	for _, w := range windows {
		target := w.from
		if relative := r.start.kind; relative == offsetAfterStart || relative == offsetBeforeEnd {
			c, ok := committed.Lookup(w.topic, w.partition)
			if !ok || c.At < 0 {
				continue // nothing to count from
			}
			distance := r.start.value
			if relative == offsetBeforeEnd {
				distance = -distance
			}
			target = clampOffset(c.At+distance, w.logStart, w.logEnd)
		}
		out.AddOffset(w.topic, w.partition, target, -1)
	}
	return out, nil
}

// readOffsetFile reads topic, partition and offset per line.
func readOffsetFile(name string) (kadm.Offsets, error) {
	file := os.Stdin
	if name != "-" {
		var err error
		if file, err = os.Open(name); err != nil {
			return nil, usagef("--to-file: %v", err)
		}
		defer file.Close()
	}
	out := kadm.Offsets{}
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		fields := strings.FieldsFunc(lines.Text(), func(r rune) bool { return r == ' ' || r == '\t' || r == ',' })
		if len(fields) == 0 {
			continue
		}
		var partition, offset int64
		err := errors.New("want topic partition offset")
		if len(fields) == 3 {
			var offsetErr error
			partition, err = strconv.ParseInt(fields[1], 10, 32)
			offset, offsetErr = strconv.ParseInt(fields[2], 10, 64)
			err = errors.Join(err, offsetErr)
		}
		if err != nil || partition < 0 || offset < 0 {
			return nil, usagef("%s line %d: %s: want topic partition offset", name, n, quote(lines.Text()))
		}
		out.AddOffset(fields[0], int32(partition), offset, -1)
	}
	return out, lines.Err()
}

func (s *session) commitSeek(cmd *cobra.Command, admin *kadm.Client, group string, targets kadm.Offsets, list []soughtPartition) error {
	ctx, cancel := s.deadline(cmd)
	defer cancel()
	responses, err := admin.CommitOffsets(ctx, group, targets)
	if err != nil {
		return fmt.Errorf("commit offsets of group %s: %w", group, err)
	}
	var failed itemErrors
	for i := range list {
		row := &list[i]
		row.Status = "moved"
		if r, ok := responses.Lookup(row.Topic, row.Partition); ok && r.Err != nil {
			row.Status, row.Error = "failed", r.Err.Error()
			failed.add(fmt.Sprintf("%s partition %d", row.Topic, row.Partition), r.Err)
		}
	}
	if err := s.print(cmd, list, soughtTable(list)); err != nil {
		return err
	}
	return failed.err()
}

func soughtTable(list []soughtPartition) *table {
	t := newTable("TOPIC", "PARTITION", "BEFORE", "OFFSET", "STATUS")
	for _, r := range list {
		t.row(r.Topic, r.Partition, orDash(r.Before), r.Offset, r.Status)
	}
	return t
}
