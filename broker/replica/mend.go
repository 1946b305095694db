package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/log/scrub"
	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/metadata/image"
)

// A damaged segment is made whole from a replica that is in sync: what is committed is the same there, byte for byte. The
// log stays as it is meanwhile and the replica in sync; a leader mends its log from a follower in the same way. Compacted
// logs differ from replica to replica, so that nothing is taken over there.

// mendPatience bounds one question to another replica.
const mendPatience = 10 * time.Second

// scrubSettings are the broker's for the scrubber.
func (m *Manager) scrubSettings(img *image.Image) scrub.Settings {
	broker := m.cfg.Settings.Broker(img)
	const longest = int64(100 * 365 * 24 * time.Hour / time.Millisecond)
	return scrub.Settings{
		BytesPerSecond: broker.Int64("millrace.scrub.bytes.per.second"),
		Interval:       time.Duration(min(broker.Int64("millrace.scrub.interval.ms"), longest)) * time.Millisecond,
	}
}

// Damages lists what the scrubber found and could not mend, for health.
func (m *Manager) Damages() []scrub.Damage { return m.scrubber.Damages() }

// mend is the scrubber's Repair.
func (m *Manager) mend(ctx context.Context, d scrub.Damage) error {
	tp := d.Log.TopicPartition()
	t := m.TopicByID(image.TopicID(tp.TopicID))
	if t == nil || t.Partition(tp.Partition) == nil || t.Partition(tp.Partition).log.Load() != d.Log {
		return errors.New("the partition is not one of this broker's any more")
	}
	p := t.Partition(tp.Partition)
	others, err := p.mayMendFrom()
	if err != nil {
		return err
	}
	if d.Segment.NextOffset() > p.HighWatermark() {
		return errors.New("the segment is not committed as a whole")
	}
	var faults []error
	for _, other := range others {
		err := d.Log.Renew(d.Segment, func(renewed *segment.Segment) error {
			return m.copySegment(ctx, other, t, d, renewed)
		})
		if err == nil {
			return nil
		}
		faults = append(faults, fmt.Errorf("from broker %d: %w", other, err))
	}
	return errors.Join(faults...)
}

// mayMendFrom are the other replicas that are in sync, the leader first.
func (p *Partition) mayMendFrom() ([]int32, error) {
	s := p.leadership.Load()
	switch {
	case s == nil || p.manager.cfg.Leaders == nil:
		return nil, errors.New("there is no other replica")
	case p.Topic.Settings().Log.Compact:
		return nil, errors.New("replicas of a compacted topic differ")
	}
	others := slices.DeleteFunc(slices.Clone(s.ISR), func(id int32) bool { return id == p.manager.cfg.NodeID })
	if at := slices.Index(others, s.Leader); at > 0 {
		others[0], others[at] = others[at], others[0]
	}
	if len(others) == 0 {
		return nil, errors.New("no other replica is in sync")
	}
	return others, nil
}

// copySegment reads the segment's batches from another broker and writes them. They are to be as many bytes, and of the
// same epochs: else the two logs are not what they should be, and nothing is replaced.
func (m *Manager) copySegment(ctx context.Context, other int32, t *Topic, d scrub.Damage, renewed *segment.Segment) error {
	next, end := d.Segment.BaseOffset(), d.Segment.NextOffset()
	for next < end {
		records, err := m.ask(ctx, other, t, d.Log.TopicPartition().Partition, next)
		if err != nil {
			return err
		}
		before := next
		for len(records) > 0 && next < end {
			b, rest, err := record.Split(records)
			if err != nil {
				break // the answer may end inside a batch
			}
			if err := fits(d.Log, b, next, end); err != nil {
				return err
			}
			placed := []segment.Placed{{LastOffset: b.LastOffset(), MaxTimestampMillis: b.MaxTimestamp(), SizeBytes: len(b)}}
			if err := d.Log.WriteCleaned(renewed, b, placed); err != nil {
				return err
			}
			next, records = b.NextOffset(), rest
		}
		if next == before {
			return fmt.Errorf("it has nothing at offset %d", next)
		}
	}
	if renewed.SizeBytes() != d.Segment.SizeBytes() {
		return fmt.Errorf("it holds the offsets in %d bytes, this broker in %d", renewed.SizeBytes(), d.Segment.SizeBytes())
	}
	return nil
}

func fits(l *log.Log, b record.Batch, next, end int64) error {
	if err := b.VerifyCRC(); err != nil {
		return err
	}
	if b.BaseOffset() != next || b.NextOffset() > end {
		return fmt.Errorf("its batch of the offsets %d to %d is not what follows %d", b.BaseOffset(), b.LastOffset(), next-1)
	}
	if epoch, ok := l.EpochAt(next); ok && epoch != b.PartitionLeaderEpoch() {
		return fmt.Errorf("its batch at offset %d is of epoch %d, the one here of %d", next, b.PartitionLeaderEpoch(), epoch)
	}
	return nil
}

// ask reads as a consumer does: also from a follower, up to the high watermark.
func (m *Manager) ask(ctx context.Context, other int32, t *Topic, partition int32, offset int64) ([]byte, error) {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.ReplicaID, req.MinBytes, req.MaxBytes, req.SessionEpoch = 13, -1, 1, int32(m.cfg.FetchMaxBytes), -1
	topic := kmsg.NewFetchRequestTopic()
	topic.TopicID = t.ID
	one := kmsg.NewFetchRequestTopicPartition()
	one.Partition, one.FetchOffset, one.PartitionMaxBytes = partition, offset, int32(m.cfg.FetchMaxBytes)
	one.CurrentLeaderEpoch, one.LastFetchedEpoch, one.LogStartOffset = -1, -1, -1
	topic.Partitions = append(topic.Partitions, one)
	req.Topics = append(req.Topics, topic)
	ctx, cancel := context.WithTimeout(ctx, mendPatience)
	defer cancel()
	answer, err := m.cfg.Leaders.Do(ctx, other, req)
	if err != nil {
		return nil, err
	}
	resp, ok := answer.(*kmsg.FetchResponse)
	if !ok {
		return nil, fmt.Errorf("answer to a fetch is a %T", answer)
	}
	if err := errorOf(resp.ErrorCode); err != nil {
		return nil, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, errors.New("answer to a fetch names other partitions")
	}
	part := &resp.Topics[0].Partitions[0]
	return part.RecordBatches, errorOf(part.ErrorCode)
}
