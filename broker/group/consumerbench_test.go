package group

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// crowd is a shard with a stable consumer group of so many members on so many partitions.
func crowd(tb testing.TB, members, partitions int) *shard {
	tb.Helper()
	topics := testTopics{}
	for t := range 10 {
		topics[fmt.Sprintf("topic-%d", t)] = int32(partitions / 10)
	}
	settings := DefaultSettings()
	s := newShard(func() Settings { return settings }, func() Topics { return topics })
	now := time.UnixMilli(1_000_000)
	for i := range members {
		joinCrowd(s, fmt.Sprintf("member-%04d", i), now)
	}
	return s
}

func joinCrowd(s *shard, id string, now time.Time) coordinator.Result {
	r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	r.Group, r.MemberID, r.RebalanceTimeoutMillis, r.Topics = "g", id, 60_000, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	for t := range 10 {
		r.SubscribedTopicNames = append(r.SubscribedTopicNames, fmt.Sprintf("topic-%d", t))
	}
	result := s.Step(consumerHeartbeatRequest{key: groupKey{defaultTenant, "g"}, body: r}, 1, now)
	for _, record := range result.Records {
		if err := s.Replay(record); err != nil {
			panic(err)
		}
	}
	return result
}

// BenchmarkTarget is one more member in a group of 1,000 on 10,000 partitions: the longest that a step stalls its shard.
func BenchmarkTarget(b *testing.B) {
	s := crowd(b, 1000, 10_000)
	now := time.UnixMilli(2_000_000)
	i := 0
	for b.Loop() {
		i++
		now = now.Add(10 * time.Second)
		joinCrowd(s, fmt.Sprintf("more-%d", i), now)
	}
}

// BenchmarkConsumerHeartbeat is a heartbeat without news.
func BenchmarkConsumerHeartbeat(b *testing.B) {
	s := crowd(b, 1, 100)
	r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	r.Group, r.MemberID, r.MemberEpoch = "g", "member-0000", 1
	for b.Loop() {
		s.Step(consumerHeartbeatRequest{key: groupKey{defaultTenant, "g"}, body: r}, 1, time.UnixMilli(2_000_000))
	}
}
