package main

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxDescribedPartitions bounds the partitions in one answer.
const maxDescribedPartitions = 2000

// eligibleLeaders are the replicas of a partition that may lead without loss although they are not in sync, and those that
// were known to last (KIP-966). nil: the broker does not say.
type eligibleLeaders struct{ replicas, lastKnown []int32 }

// findEligible asks a broker, page by page. Brokers that do not know the request say nothing, and neither do those that do
// not answer in time: what else is known of the topics is worth showing without.
func findEligible(ctx context.Context, client *kgo.Client, names []string) map[string]map[int32]eligibleLeaders {
	ctx, cancel := context.WithTimeout(ctx, quorumPatience)
	defer cancel()
	found := map[string]map[int32]eligibleLeaders{}
	request := kmsg.NewPtrDescribeTopicPartitionsRequest()
	request.ResponsePartitionLimit = maxDescribedPartitions
	for _, name := range names {
		topic := kmsg.NewDescribeTopicPartitionsRequestTopic()
		topic.Topic = name
		request.Topics = append(request.Topics, topic)
	}
	for ctx.Err() == nil {
		answer, err := request.RequestWith(ctx, client)
		if err != nil {
			break
		}
		for _, t := range answer.Topics {
			if t.Topic == nil || kerr.ErrorForCode(t.ErrorCode) != nil {
				continue
			}
			if found[*t.Topic] == nil {
				found[*t.Topic] = map[int32]eligibleLeaders{}
			}
			for _, p := range t.Partitions {
				found[*t.Topic][p.Partition] = eligibleLeaders{p.EligibleLeaderReplicas, p.LastKnownELR}
			}
		}
		if answer.NextCursor == nil || len(answer.Topics) == 0 {
			break
		}
		cursor := kmsg.NewDescribeTopicPartitionsRequestCursor()
		cursor.Topic, cursor.Partition = answer.NextCursor.Topic, answer.NextCursor.Partition
		request.Cursor = &cursor
	}
	return found
}

// eligibleText is how kafka-topics.sh shows a list that a broker may not tell.
func eligibleText(ids []int32) string {
	if ids == nil {
		return "N/A"
	}
	return joinIDs(ids)
}
