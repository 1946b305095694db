package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

type describedLogdir struct {
	Broker      int32             `json:"broker"`
	Dir         string            `json:"dir"`
	SizeBytes   int64             `json:"size_bytes"`
	TotalBytes  int64             `json:"volume_total_bytes"`
	UsableBytes int64             `json:"volume_usable_bytes"`
	Replicas    int               `json:"replicas"`
	Error       string            `json:"error,omitempty"`
	Partitions  []logdirPartition `json:"partitions,omitempty"`
}

type logdirPartition struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	SizeBytes int64  `json:"size_bytes"`
	OffsetLag int64  `json:"offset_lag"`
}

func newClusterLogdirsCommand(s *session) *cobra.Command {
	var detail bool
	cmd := &cobra.Command{
		Use:     "logdirs",
		Aliases: []string{"logdir"},
		Short:   "Show the log directories: sizes, free space, errors",
		Example: "  millrace cluster logdirs\n  millrace cluster logdirs --partitions",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel, admin, err := s.admin(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			dirs, err := admin.DescribeAllLogDirs(ctx, nil)
			if err != nil && len(dirs) == 0 {
				return fmt.Errorf("describe log directories: %w", err)
			}
			list := []describedLogdir{}
			t := newTable("BROKER", "DIRECTORY", "SIZE", "FREE", "TOTAL", "REPLICAS", "STATUS")
			var failed itemErrors
			for _, d := range dirs.Sorted() {
				l := describeLogdir(d, detail)
				list = append(list, l)
				status := "ok"
				if d.Err != nil {
					status = "failed"
					failed.add(fmt.Sprintf("broker %d, %s", d.Broker, d.Dir), d.Err)
				}
				t.row(l.Broker, l.Dir, byteSize(l.SizeBytes), volumeSize(l.UsableBytes), volumeSize(l.TotalBytes), l.Replicas, status)
			}
			failed.add("describe log directories", err)
			tables := []*table{t}
			if detail {
				tables = append(tables, logdirPartitionTable(list))
			}
			if err := s.print(cmd, list, tables...); err != nil {
				return err
			}
			return failed.err()
		},
	}
	cmd.Flags().BoolVarP(&detail, "partitions", "p", false, "show every partition's size")
	return cmd
}

func describeLogdir(d kadm.DescribedLogDir, detail bool) describedLogdir {
	l := describedLogdir{Broker: d.Broker, Dir: d.Dir, SizeBytes: d.Size(), TotalBytes: d.TotalBytes, UsableBytes: d.UsableBytes}
	if d.Err != nil {
		l.Error = d.Err.Error()
	}
	for _, p := range d.Topics.Sorted() {
		l.Replicas++
		if detail {
			l.Partitions = append(l.Partitions, logdirPartition{p.Topic, p.Partition, p.Size, p.OffsetLag})
		}
	}
	return l
}

func logdirPartitionTable(list []describedLogdir) *table {
	t := newTable("BROKER", "TOPIC", "PARTITION", "SIZE", "LAG", "+DIRECTORY")
	for _, d := range list {
		for _, p := range d.Partitions {
			t.row(d.Broker, p.Topic, p.Partition, byteSize(p.SizeBytes), p.OffsetLag, d.Dir)
		}
	}
	return t
}

// volumeSize is - for brokers that do not tell it.
func volumeSize(n int64) string {
	if n < 0 {
		return "-"
	}
	return byteSize(n)
}
