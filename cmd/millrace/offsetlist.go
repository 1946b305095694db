package main

import (
	"context"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Timestamps of ListOffsets that are no times.
const (
	latestOffset   = -1
	earliestOffset = -2
)

// partitionOffsets asks the leaders of the wanted partitions, and nobody else: kadm asks for whole topics, and a leader that is away
// then keeps a command from partitions that are well. A partition's fault is in its Err; a partition without any record at or
// after the timestamp gives its end.
func partitionOffsets(ctx context.Context, client *kgo.Client, wanted map[string][]int32, timestamp int64, stableOnly bool) (kadm.ListedOffsets, error) {
	listed, err := partitionOffsetsOnce(ctx, client, wanted, timestamp, stableOnly)
	if err != nil || timestamp < 0 {
		return listed, err
	}
	none := map[string][]int32{}
	listed.Each(func(o kadm.ListedOffset) {
		if o.Err == nil && o.Offset < 0 {
			none[o.Topic] = append(none[o.Topic], o.Partition)
		}
	})
	if len(none) == 0 {
		return listed, nil
	}
	ends, err := partitionOffsetsOnce(ctx, client, none, latestOffset, stableOnly)
	ends.Each(func(o kadm.ListedOffset) { listed[o.Topic][o.Partition] = o })
	return listed, err
}

func partitionOffsetsOnce(ctx context.Context, client *kgo.Client, wanted map[string][]int32, timestamp int64, stableOnly bool) (kadm.ListedOffsets, error) {
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID = -1
	if stableOnly {
		request.IsolationLevel = 1
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		topic := kmsg.NewListOffsetsRequestTopic()
		topic.Topic = name
		for _, number := range wanted[name] {
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Partition, p.Timestamp = number, timestamp
			topic.Partitions = append(topic.Partitions, p)
		}
		request.Topics = append(request.Topics, topic)
	}
	listed := kadm.ListedOffsets{}
	for _, shard := range client.RequestSharded(ctx, request) {
		if shard.Err != nil {
			return listed, shard.Err
		}
		addListed(listed, shard.Resp.(*kmsg.ListOffsetsResponse))
	}
	return listed, nil
}

func addListed(listed kadm.ListedOffsets, answer *kmsg.ListOffsetsResponse) {
	for _, topic := range answer.Topics {
		if listed[topic.Topic] == nil {
			listed[topic.Topic] = map[int32]kadm.ListedOffset{}
		}
		for _, p := range topic.Partitions {
			listed[topic.Topic][p.Partition] = kadm.ListedOffset{Topic: topic.Topic, Partition: p.Partition, Timestamp: p.Timestamp, Offset: p.Offset,
				LeaderEpoch: p.LeaderEpoch, Err: kerr.ErrorForCode(p.ErrorCode)}
		}
	}
}
