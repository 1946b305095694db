package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// window is what an offset range means for one partition: the offsets from, up to not including, until.
type window struct {
	topic            string
	partition        int32
	logStart, logEnd int64
	from, until      int64
	bounded          bool // false: keep waiting after until
	startClamped     bool // the exact offset that was asked for is not in the log
}

// contents says in words what the log holds.
func (w window) contents() string {
	if w.logStart == w.logEnd {
		return "it holds no record"
	}
	return fmt.Sprintf("it holds offsets %d to %d", w.logStart, w.logEnd-1)
}

// planWindows resolves the range for every wanted partition. stableOnly ends at the last stable offset.
func planWindows(ctx context.Context, client *kgo.Client, topics map[string][]int32, r offsetRange, stableOnly bool) ([]window, error) {
	starts := partitionOffsets(ctx, client, topics, earliestOffset, false)
	ends := partitionOffsets(ctx, client, topics, latestOffset, stableOnly)
	startTimes, endTimes := offsetsAtTime(ctx, client, r.start, topics), offsetsAtTime(ctx, client, r.end, topics)
	var out []window
	for _, topic := range slices.Sorted(maps.Keys(topics)) {
		for _, partition := range topics[topic] {
			start, end := starts[topic][partition], ends[topic][partition]
			if err := firstError(start.Err, end.Err, startTimes[topic][partition].Err, endTimes[topic][partition].Err); err != nil {
				return nil, fmt.Errorf("list offsets of %s partition %d: %w", topic, partition, err)
			}
			w := window{topic: topic, partition: partition, logStart: start.Offset, logEnd: end.Offset, bounded: r.end.kind != offsetNone}
			w.from = r.start.at(w.logStart, w.logEnd, startTimes[topic][partition].Offset)
			w.until = r.end.at(w.logStart, w.logEnd, endTimes[topic][partition].Offset)
			w.startClamped = r.start.kind == offsetExact && r.start.value != w.from
			out = append(out, w)
		}
	}
	return out, nil
}

// offsetsAtTime asks for the first record at or after the point's time; nothing is asked for other points.
func offsetsAtTime(ctx context.Context, client *kgo.Client, p offsetPoint, topics map[string][]int32) kadm.ListedOffsets {
	if p.kind != offsetTime {
		return nil
	}
	return partitionOffsets(ctx, client, topics, p.value, false)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// selectPartitions returns the wanted partitions of the topic, all of them when none is named.
func selectPartitions(topic kadm.TopicDetail, wanted []int32) ([]int32, error) {
	all := topic.Partitions.Numbers()
	if len(wanted) == 0 {
		return all, nil
	}
	for _, p := range wanted {
		if !slices.Contains(all, p) {
			return nil, notFoundf("topic %s has no partition %d; it has 0 to %d", quote(topic.Topic), p, len(all)-1)
		}
	}
	return wanted, nil
}
