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
// then keeps a command from partitions that are well. What went wrong is in a partition's Err; a partition without any record at
// or after the timestamp gives its end.
func partitionOffsets(ctx context.Context, client *kgo.Client, wanted map[string][]int32, timestamp int64, stableOnly bool) kadm.ListedOffsets {
	listed := askOffsets(ctx, client, wanted, timestamp, stableOnly)
	if timestamp < 0 {
		return listed
	}
	none := map[string][]int32{}
	listed.Each(func(o kadm.ListedOffset) {
		if o.Err == nil && o.Offset < 0 {
			none[o.Topic] = append(none[o.Topic], o.Partition)
		}
	})
	if len(none) > 0 {
		askOffsets(ctx, client, none, latestOffset, stableOnly).Each(func(o kadm.ListedOffset) { listed[o.Topic][o.Partition] = o })
	}
	return listed
}

func askOffsets(ctx context.Context, client *kgo.Client, wanted map[string][]int32, timestamp int64, stableOnly bool) kadm.ListedOffsets {
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
			addUnlisted(listed, shard.Req.(*kmsg.ListOffsetsRequest), shard.Err)
			continue
		}
		addListed(listed, shard.Resp.(*kmsg.ListOffsetsResponse))
	}
	return listed
}

// addUnlisted notes why a broker did not tell of the partitions that it was asked for.
func addUnlisted(listed kadm.ListedOffsets, request *kmsg.ListOffsetsRequest, err error) {
	for _, topic := range request.Topics {
		if listed[topic.Topic] == nil {
			listed[topic.Topic] = map[int32]kadm.ListedOffset{}
		}
		for _, p := range topic.Partitions {
			listed[topic.Topic][p.Partition] = kadm.ListedOffset{Topic: topic.Topic, Partition: p.Partition, Offset: -1, Err: err}
		}
	}
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
