package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

type analyzedPartition struct {
	Topic         string         `json:"topic"`
	Partition     int32          `json:"partition"`
	Records       int64          `json:"records"`
	SizeBytes     int64          `json:"size_bytes"`
	LargestBytes  int64          `json:"largest_record_bytes"`
	NullKeys      int64          `json:"null_keys"`
	NullValues    int64          `json:"null_values"`
	OldestMillis  int64          `json:"oldest_timestamp"`
	NewestMillis  int64          `json:"newest_timestamp"`
	CodecRecords  map[string]int `json:"records_by_compression"`
	FromOffset    int64          `json:"from_offset"`
	UntilOffset   int64          `json:"until_offset"`
	AverageRecord int64          `json:"average_record_bytes"`
}

func newTopicAnalyzeCommand(s *session) *cobra.Command {
	var o consumeOptions
	cmd := &cobra.Command{
		Use:   "analyze TOPIC...",
		Short: "Read a topic and sum up sizes, nulls, times and compression",
		Long:  "Read a topic up to its present end and sum up what is in it. Sizes are of keys, values and headers, uncompressed.\n\n" + offsetHelp,
		Example: `  millrace topic analyze orders
  millrace topic analyze orders --offset @-1h:end --format wide`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: s.completeTopics(),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := parseOffsets(o.offset, time.Now())
			if err != nil {
				return usagef("--%v", err)
			}
			if r.end.kind == offsetNone {
				r.end = offsetPoint{kind: offsetEnd}
			}
			client, err := s.connect(cmd.Context(), o.clientOptions()...)
			if err != nil {
				return err
			}
			windows, err := s.consumeWindows(cmd, client, &o, args, r)
			if err != nil {
				return err
			}
			found := map[topicPartition]*analyzedPartition{}
			for _, w := range windows {
				found[topicPartition{w.topic, w.partition}] = &analyzedPartition{Topic: w.topic, Partition: w.partition, FromOffset: w.from, UntilOffset: w.until, CodecRecords: map[string]int{}}
			}
			bar := startProgress(cmd, "read")
			reader := &scan{client: client, flush: func() error { return nil }, warn: func(format string, args ...any) { note(cmd, format, args...) }, handle: func(r *kgo.Record) error {
				bar.add(1, int(recordBytes(r)))
				found[topicPartition{r.Topic, r.Partition}].add(r)
				return nil
			}}
			err = reader.run(cmd.Context(), windows)
			bar.done()
			if cmd.Context().Err() != nil {
				return interrupted("analyze read only a part of the topic")
			}
			if err != nil {
				return err
			}
			return s.printAnalysis(cmd, found)
		},
	}
	cmd.Flags().StringVarP(&o.offset, "offset", "o", "start", "what to read, see above")
	cmd.Flags().Int32SliceVarP(&o.partitions, "partitions", "p", nil, "only these partitions")
	return cmd
}

func (a *analyzedPartition) add(r *kgo.Record) {
	size, at := recordBytes(r), r.Timestamp.UnixMilli()
	if a.Records == 0 || at < a.OldestMillis {
		a.OldestMillis = at
	}
	a.NewestMillis = max(a.NewestMillis, at)
	a.Records++
	a.SizeBytes += size
	a.LargestBytes = max(a.LargestBytes, size)
	a.AverageRecord = a.SizeBytes / a.Records
	if r.Key == nil {
		a.NullKeys++
	}
	if r.Value == nil {
		a.NullValues++
	}
	a.CodecRecords[codecName(r.Attrs.CompressionType())]++
}

func recordBytes(r *kgo.Record) int64 {
	size := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value)
	}
	return int64(size)
}

func codecName(codec uint8) string {
	names := []string{"none", "gzip", "snappy", "lz4", "zstd"}
	if int(codec) < len(names) {
		return names[codec]
	}
	return "unknown"
}

func (s *session) printAnalysis(cmd *cobra.Command, found map[topicPartition]*analyzedPartition) error {
	list := slices.SortedFunc(maps.Values(found), func(a, b *analyzedPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	t := newTable("TOPIC", "PARTITION", "RECORDS", "SIZE", "AVERAGE", "LARGEST", "NULL-KEYS", "NULL-VALUES", "OLDEST", "NEWEST", "COMPRESSION", "+FROM", "+UNTIL")
	for _, a := range list {
		oldest, newest := "-", "-"
		if a.Records > 0 {
			oldest, newest = millisText(a.OldestMillis), millisText(a.NewestMillis)
		}
		codecs := strings.Join(slices.Sorted(maps.Keys(a.CodecRecords)), ",")
		t.row(a.Topic, a.Partition, a.Records, byteSize(a.SizeBytes), byteSize(a.AverageRecord), byteSize(a.LargestBytes), a.NullKeys, a.NullValues, oldest, newest, cmp.Or(codecs, "-"), a.FromOffset, a.UntilOffset)
	}
	return s.print(cmd, list, t)
}

func millisText(millis int64) string {
	return time.UnixMilli(millis).UTC().Format("2006-01-02T15:04:05.000Z")
}
