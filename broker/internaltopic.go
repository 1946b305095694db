package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/log/producer"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// internalLog is a coordinator's view of the partitions of its internal topic.
type internalLog struct {
	replicas *replica.Manager
	topic    string
}

func (i *internalLog) partition(number int32) (*replica.Partition, error) {
	p, err := i.replicas.ByName(security.DefaultTenant, i.topic, number)
	if err != nil { // a nil *kerr.Error must not become an error
		return nil, err
	}
	return p, nil
}

// Append writes one batch as the leader of the given epoch.
func (i *internalLog) Append(_ context.Context, number int32, batch record.Batch, expectedLeaderEpoch int32) (int64, error) {
	return i.append(number, log.Entry{Batch: batch}, expectedLeaderEpoch)
}

// AppendTransactional writes one batch of a transaction, or an end marker.
func (i *internalLog) AppendTransactional(_ context.Context, number int32, batch record.Batch, terms coordinator.Terms, expectedLeaderEpoch int32) (int64, error) {
	entry := log.Entry{Batch: batch, Guard: producer.Guard(terms.Guard), TransactionVersion: terms.TransactionVersion}
	return i.append(number, entry, expectedLeaderEpoch)
}

func (i *internalLog) append(number int32, entry log.Entry, expectedLeaderEpoch int32) (int64, error) {
	p, err := i.partition(number)
	if err != nil {
		return 0, err
	}
	entries := []log.Entry{entry}
	if _, err := p.Append(entries, replica.AcksAll, log.OriginCoordinator, expectedLeaderEpoch); err != nil {
		return 0, fmt.Errorf("append to %s-%d as the leader of epoch %d: %w", i.topic, number, expectedLeaderEpoch, err)
	}
	return entries[0].LastOffset + 1, entries[0].Err
}

// AwaitCommitted calls done once the high watermark has reached offset, or cannot any more.
func (i *internalLog) AwaitCommitted(number int32, offset int64, leaderEpoch int32, done func(error)) {
	p, err := i.partition(number)
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
func (i *internalLog) Read(_ context.Context, number int32, offset int64, maxBytes int) ([]byte, int64, error) {
	p, err := i.partition(number)
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
		return nil, end, fmt.Errorf("read %s-%d at offset %d: %w", i.topic, number, offset, err)
	}
	return data, end, nil
}

// Standing implements group.Leaderships. Where this broker does not lead there is nothing to doubt.
func (i *internalLog) Standing(number int32) (leaderEpoch int32, doubtful bool) {
	p, err := i.partition(number)
	if err != nil {
		return -1, false
	}
	leaderEpoch = p.LeaderEpoch()
	return leaderEpoch, p.Standing(leaderEpoch) == replica.Doubtful
}

// Confirm implements group.Leaderships.
func (i *internalLog) Confirm(ctx context.Context, number, leaderEpoch int32) bool {
	p, err := i.partition(number)
	if err != nil {
		return errors.Is(err, kerr.KafkaStorageError) // what is told comes from memory
	}
	switch p.Standing(leaderEpoch) {
	case replica.Sure:
		return true
	case replica.Unsure:
		return i.replicas.Confirm(ctx, replica.Claim{Partition: p, LeaderEpoch: leaderEpoch})[0]
	}
	return false
}

// LogStartOffset returns the first offset of a partition's log.
func (i *internalLog) LogStartOffset(number int32) (int64, error) {
	p, err := i.partition(number)
	if err != nil {
		return 0, err
	}
	if _, err := p.OpenLog(); err != nil {
		return 0, err
	}
	return p.LogStartOffset(), nil
}

// elected is what a coordinator is told of its internal topic. group.Service has these methods.
type elected interface {
	OnElection(partition, leaderEpoch int32)
	OnResignation(partition int32)
}

// partitionCount returns how many partitions an internal topic has; 0 while it does not exist.
func (b *Broker) partitionCount(topic string) func() int32 {
	return func() int32 {
		t := b.metadata.Image().Topic(security.DefaultTenant, topic)
		if t == nil {
			return 0
		}
		return int32(t.PartitionCount())
	}
}

// elect tells a coordinator which partitions of its internal topic it now has. It runs after the replicas have handled the
// same delta.
func (b *Broker) elect(delta *image.Delta, topicName string, coordinator elected) {
	for _, change := range delta.Topics {
		topic := change.After
		if topic == nil {
			topic = change.Before
		}
		if topic.Name != topicName || topic.Tenant != security.DefaultTenant {
			continue
		}
		for _, number := range change.Partitions {
			var now *image.Partition
			if change.After != nil {
				now = change.After.Partition(number)
			}
			if now != nil && now.Leader == b.cfg.NodeID {
				coordinator.OnElection(number, now.LeaderEpoch)
			} else {
				coordinator.OnResignation(number)
			}
		}
	}
}
