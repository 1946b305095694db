package broker

import (
	"context"
	"fmt"

	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// offsetsTopic is the internal topic that holds the state of groups.
const offsetsTopic = "__consumer_offsets"

// offsetsLog is the group coordinator's view of the partitions of __consumer_offsets.
type offsetsLog struct{ replicas *replica.Manager }

func (o *offsetsLog) partition(number int32) (*replica.Partition, error) {
	p, err := o.replicas.ByName(security.DefaultTenant, offsetsTopic, number)
	if err != nil { // a nil *kerr.Error must not become an error
		return nil, err
	}
	return p, nil
}

// Append writes one batch as the leader of the given epoch.
func (o *offsetsLog) Append(_ context.Context, number int32, batch record.Batch, expectedLeaderEpoch int32) (int64, error) {
	p, err := o.partition(number)
	if err != nil {
		return 0, err
	}
	entries := []log.Entry{{Batch: batch}}
	if _, err := p.Append(entries, replica.AcksAll, log.OriginCoordinator, expectedLeaderEpoch); err != nil {
		return 0, fmt.Errorf("append to %s-%d as the leader of epoch %d: %w", offsetsTopic, number, expectedLeaderEpoch, err)
	}
	return entries[0].LastOffset + 1, entries[0].Err
}

// AwaitCommitted calls done once the high watermark has reached offset, or cannot any more.
func (o *offsetsLog) AwaitCommitted(number int32, offset int64, leaderEpoch int32, done func(error)) {
	p, err := o.partition(number)
	if err != nil {
		done(err)
		return
	}
	w := replica.NewWaiter()
	if !p.AwaitOffset(offset, leaderEpoch, w) {
		done(p.Committed(offset, leaderEpoch))
		return
	}
	go func() { // ends when the partition reaches the offset, changes its leader, goes offline, is removed or its manager closes
		<-w.C
		done(p.Committed(offset, leaderEpoch))
	}()
}

// Read returns whole batches from offset on for loading a shard.
func (o *offsetsLog) Read(_ context.Context, number int32, offset int64, maxBytes int) ([]byte, int64, error) {
	p, err := o.partition(number)
	if err != nil {
		return nil, 0, err
	}
	l, err := p.OpenLog()
	if err != nil || l == nil {
		return nil, 0, err
	}
	end := l.LogEndOffset()
	if offset >= end {
		return nil, end, nil
	}
	slice, err := l.Read(offset, end, maxBytes, true)
	if err != nil {
		return nil, end, err
	}
	defer slice.Release()
	if slice.File == nil {
		return append([]byte(nil), slice.Bytes...), end, nil
	}
	data := make([]byte, slice.SizeBytes)
	if _, err := slice.File.ReadAt(data, slice.Position); err != nil {
		return nil, end, fmt.Errorf("read %s-%d at offset %d: %w", offsetsTopic, number, offset, err)
	}
	return data, end, nil
}

// LogStartOffset returns the first offset of a partition's log.
func (o *offsetsLog) LogStartOffset(number int32) (int64, error) {
	p, err := o.partition(number)
	if err != nil {
		return 0, err
	}
	if _, err := p.OpenLog(); err != nil {
		return 0, err
	}
	return p.LogStartOffset(), nil
}

func (b *Broker) offsetsPartitionCount() int32 {
	t := b.metadata.Image().Topic(security.DefaultTenant, offsetsTopic)
	if t == nil {
		return 0
	}
	return int32(t.PartitionCount())
}

// applyToGroups tells the group coordinator which partitions of __consumer_offsets it now has, and which topics are gone.
// It runs after the replicas have handled the same delta.
func (b *Broker) applyToGroups(delta *image.Delta) {
	for _, change := range delta.Topics {
		topic := change.After
		if topic == nil {
			topic = change.Before
		}
		if topic.Name != offsetsTopic || topic.Tenant != security.DefaultTenant {
			if change.After == nil {
				b.groups.OnTopicDeleted(topic.Tenant, topic.Name)
			}
			continue
		}
		for _, number := range change.Partitions {
			var now *image.Partition
			if change.After != nil {
				now = change.After.Partition(number)
			}
			if now != nil && now.Leader == b.cfg.NodeID {
				b.groups.OnElection(number, now.LeaderEpoch)
			} else {
				b.groups.OnResignation(number)
			}
		}
	}
}

func (b *Broker) groupSettings() group.Settings {
	s := b.settings.Broker(b.metadata.Image())
	return group.Settings{
		MinSessionTimeoutMillis:     s.Int32("group.min.session.timeout.ms"),
		MaxSessionTimeoutMillis:     s.Int32("group.max.session.timeout.ms"),
		MaxSize:                     s.Int32("group.max.size"),
		InitialRebalanceDelayMillis: s.Int32("group.initial.rebalance.delay.ms"),
		OffsetMetadataMaxBytes:      s.Int32("offset.metadata.max.bytes"),
		OffsetsRetentionMillis:      s.Int64("offsets.retention.minutes") * 60_000,
		OffsetsRetentionCheckMillis: s.Int64("offsets.retention.check.interval.ms"),
		NewMemberJoinTimeoutMillis:  group.DefaultSettings().NewMemberJoinTimeoutMillis,
		OffsetCommitTimeoutMillis:   s.Int32("offsets.commit.timeout.ms"),
		MaxBatchBytes:               s.Int32("message.max.bytes"),
	}
}
