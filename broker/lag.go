package broker

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group"
)

// lagSource is what consumer lag is computed from: the groups that this broker coordinates, and the ends of the partitions
// that they read, wherever those are led.
type lagSource struct{ b *Broker }

// endOffsetTimeout bounds how long a scrape waits for other brokers.
const endOffsetTimeout = 2 * time.Second

// unknownEnd stands for an end offset that nobody told.
const unknownEnd = -1

// CommittedOffsets yields the offsets of every group that this broker coordinates.
func (l lagSource) CommittedOffsets(ctx context.Context) iter.Seq[group.CommittedOffset] {
	if !l.b.assembled.Load() {
		return func(func(group.CommittedOffset) bool) {}
	}
	return l.b.groups.CommittedOffsets(ctx)
}

// EndOffsets returns the high watermarks of the partitions of offsets, in their order. A replica on this broker tells its
// own, which as a follower's is a fetch behind; of the others each leader is asked once.
func (l lagSource) EndOffsets(ctx context.Context, offsets []group.CommittedOffset) []int64 {
	ends := make([]int64, len(offsets))
	elsewhere := map[int32][]int{} // places in offsets, by leader
	img := l.b.metadata.Image()
	for i, one := range offsets {
		if ends[i] = l.ownEnd(one); ends[i] != unknownEnd || l.b.company == nil {
			continue
		}
		if t := img.Topic(one.Tenant, one.Topic); t != nil {
			if p := t.Partition(one.Partition); p != nil && p.Leader >= 0 && p.Leader != l.b.cfg.NodeID {
				elsewhere[p.Leader] = append(elsewhere[p.Leader], i)
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, endOffsetTimeout)
	defer cancel()
	var asking sync.WaitGroup
	for leader, places := range elsewhere {
		asking.Go(func() { l.askEnds(ctx, leader, offsets, places, ends) })
	}
	asking.Wait()
	return ends
}

func (l lagSource) ownEnd(one group.CommittedOffset) int64 {
	t := l.b.replicas.TopicByName(one.Tenant, []byte(one.Topic))
	if t == nil {
		return unknownEnd
	}
	if p := t.Partition(one.Partition); p != nil && p.ReadErr() == nil && p.HighWatermarkKnown() {
		return p.HighWatermark()
	}
	return unknownEnd
}

// askEnds asks a leader for what lies at the given places of offsets. Several run at once, each with places of its own.
func (l lagSource) askEnds(ctx context.Context, leader int32, offsets []group.CommittedOffset, places []int, ends []int64) {
	type partition struct {
		topic  string
		number int32
	}
	request, at := kmsg.NewPtrListOffsetsRequest(), map[partition][]int{}
	topics := map[string]int{}
	for _, i := range places {
		one := offsets[i]
		key := partition{one.Topic, one.Partition}
		if at[key] = append(at[key], i); len(at[key]) > 1 {
			continue
		}
		n, known := topics[one.Topic]
		if !known {
			n = len(request.Topics)
			topics[one.Topic] = n
			request.Topics = append(request.Topics, kmsg.ListOffsetsRequestTopic{Topic: one.Topic})
		}
		asked := kmsg.NewListOffsetsRequestTopicPartition()
		asked.Partition, asked.Timestamp = one.Partition, -1
		request.Topics[n].Partitions = append(request.Topics[n].Partitions, asked)
	}
	response, err := l.b.company.asking.Do(ctx, leader, request)
	answer, ok := response.(*kmsg.ListOffsetsResponse)
	if err != nil || !ok {
		return // their lag is not shown in this scrape
	}
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			for _, i := range at[partition{t.Topic, p.Partition}] {
				if p.ErrorCode == 0 {
					ends[i] = p.Offset
				}
			}
		}
	}
}
