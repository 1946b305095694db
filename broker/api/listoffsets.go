package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/security"
)

// ListOffsets (key 2), versions 1 to 11.
// Kafka: KafkaApis.handleListOffsetRequest, ReplicaManager.fetchOffset, UnifiedLog.fetchOffsetByTimestamp.
//
// Deviations: topics are answered in the order of the request; Kafka's order is that of a hash map. A leader that may have a
// successor answers NOT_LEADER_OR_FOLLOWER to clients that name no leader epoch (replica.Partition.Standing).

// Timestamps that ask for an offset by its meaning.
const (
	timestampLatest                = -1
	timestampEarliest              = -2
	timestampMax                   = -3
	timestampEarliestLocal         = -4
	timestampLatestTiered          = -5
	timestampEarliestPendingUpload = -6
)

// timestampSupported says from which version on a special timestamp may be asked for.
func timestampSupported(timestamp int64, version int16) bool {
	switch timestamp {
	case timestampLatest, timestampEarliest:
		return true
	case timestampMax:
		return version >= 7
	case timestampEarliestLocal:
		return version >= 8
	case timestampLatestTiered:
		return version >= 9
	case timestampEarliestPendingUpload:
		return version >= 11
	}
	return timestamp >= 0
}

func listOffsets(s *Services, c *Call, r *kmsg.ListOffsetsRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.ListOffsetsResponse)
	twice, answered := duplicates(r), map[topicPartition]bool{}
	var open unconfirmedOffsets
	for _, t := range r.Topics {
		if len(t.Partitions) == 0 {
			continue
		}
		topic := kmsg.NewListOffsetsResponseTopic()
		topic.Topic = t.Topic
		allowed := s.Allowed(c, security.OperationDescribe, security.ResourceTopic, t.Topic)
		for _, asked := range t.Partitions {
			key := topicPartition{t.Topic, asked.Partition}
			if answered[key] {
				continue // the first has the error of all
			}
			answered[key] = true
			var err error
			found := log.TimestampOffset{Offset: -1, TimestampMillis: -1, LeaderEpoch: -1}
			switch {
			case !allowed:
				err = kerr.TopicAuthorizationFailed
			case twice[key]:
				err = kerr.InvalidRequest
			case !timestampSupported(asked.Timestamp, c.Version):
				err = kerr.UnsupportedVersion
			default:
				var claim replica.Claim
				if found, claim, err = s.listOffset(c, t.Topic, asked, r); claim.Partition != nil {
					open.add(claim, len(answer.Topics), len(topic.Partitions))
				}
			}
			p := kmsg.NewListOffsetsResponseTopicPartition()
			p.Partition, p.Offset, p.Timestamp, p.LeaderEpoch = asked.Partition, found.Offset, found.TimestampMillis, found.LeaderEpoch
			p.ErrorCode, _ = protocolError(err)
			topic.Partitions = append(topic.Partitions, p)
		}
		answer.Topics = append(answer.Topics, topic)
	}
	open.settle(c.Context, s.Replicas, answer)
	return answer
}

// unconfirmedOffsets are those that may be old, of a leader that has lost its controller, until others say that they follow
// it. All of a request are asked for together.
type unconfirmedOffsets struct {
	claims []replica.Claim
	places [][2]int // in the answer: topic and partition
}

func (u *unconfirmedOffsets) add(claim replica.Claim, topic, partition int) {
	u.claims, u.places = append(u.claims, claim), append(u.places, [2]int{topic, partition})
}

// settle takes out of the answer what is not confirmed.
func (u *unconfirmedOffsets) settle(ctx context.Context, replicas *replica.Manager, answer *kmsg.ListOffsetsResponse) {
	if len(u.claims) == 0 {
		return
	}
	for i, confirmed := range replicas.Confirm(ctx, u.claims...) {
		if confirmed {
			continue
		}
		p := &answer.Topics[u.places[i][0]].Partitions[u.places[i][1]]
		none := notFound()
		p.Offset, p.Timestamp, p.LeaderEpoch, p.ErrorCode = none.Offset, none.TimestampMillis, none.LeaderEpoch, kerr.NotLeaderForPartition.Code
	}
}

type topicPartition struct {
	topic     string
	partition int32
}

// duplicates finds the partitions that a request names more than once.
func duplicates(r *kmsg.ListOffsetsRequest) map[topicPartition]bool {
	seen, twice := map[topicPartition]bool{}, map[topicPartition]bool{}
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			key := topicPartition{t.Topic, p.Partition}
			twice[key] = seen[key]
			seen[key] = true
		}
	}
	return twice
}

// notFound is the answer where no offset fits; it is not an error.
func notFound() log.TimestampOffset {
	return log.TimestampOffset{Offset: -1, TimestampMillis: -1, LeaderEpoch: -1}
}

// listOffset returns with the offset a claim, where it may only be told once that is confirmed. Who names the leader epoch has
// not heard of a later one, and need not be kept from going back.
func (s *Services) listOffset(c *Call, topic string, asked kmsg.ListOffsetsRequestTopicPartition, r *kmsg.ListOffsetsRequest) (found log.TimestampOffset, open replica.Claim, err error) {
	p, kafkaErr := s.Replicas.ByNameAt(c.Identity.Tenant, topic, asked.Partition, asked.CurrentLeaderEpoch)
	if kafkaErr != nil {
		return notFound(), open, kafkaErr
	}
	epoch := p.LeaderEpoch()
	found, err = findOffset(p, asked, r)
	if asked.CurrentLeaderEpoch >= 0 || r.ReplicaID >= 0 {
		return found, open, err
	}
	switch p.Standing(epoch) {
	case replica.Doubtful:
		return notFound(), open, kerr.NotLeaderForPartition
	case replica.Unsure:
		if err == nil {
			open = replica.Claim{Partition: p, LeaderEpoch: epoch}
		}
	}
	return found, open, err
}

func findOffset(p *replica.Partition, asked kmsg.ListOffsetsRequestTopicPartition, r *kmsg.ListOffsetsRequest) (log.TimestampOffset, error) {
	last := lastFetchable(p, r)
	unknown := r.ReplicaID < 0 && r.ReplicaID != -2 && !p.HighWatermarkKnown()
	switch asked.Timestamp {
	case timestampLatest:
		if unknown {
			return notFound(), notAvailable(r.Version)
		}
		return log.TimestampOffset{Offset: last, TimestampMillis: -1, LeaderEpoch: p.LeaderEpoch()}, nil
	case timestampEarliest, timestampEarliestLocal:
		start := p.LogStartOffset()
		return log.TimestampOffset{Offset: start, TimestampMillis: -1, LeaderEpoch: p.EpochAt(start)}, nil
	case timestampLatestTiered, timestampEarliestPendingUpload:
		return notFound(), nil // nothing is tiered
	}
	l := p.Log()
	if l == nil {
		return notFound(), nil
	}
	search := l.MaxTimestamp
	if asked.Timestamp != timestampMax {
		search = func() (log.TimestampOffset, bool, error) { return l.OffsetForTimestamp(asked.Timestamp) }
	}
	found, ok, err := search()
	if err == nil && unknown && (!ok || found.Offset >= last) {
		err = notAvailable(r.Version)
	}
	if err != nil || !ok || found.Offset >= last {
		return notFound(), err
	}
	return found, nil
}

// notAvailable refuses what a leader does not know yet: how far its predecessor had come.
func notAvailable(version int16) error {
	if version < 5 {
		return kerr.LeaderNotAvailable
	}
	return kerr.OffsetNotAvailable
}

// lastFetchable is the offset up to which the caller may read.
func lastFetchable(p *replica.Partition, r *kmsg.ListOffsetsRequest) int64 {
	switch {
	case r.ReplicaID >= 0 || r.ReplicaID == -2:
		return p.LogEndOffset()
	case r.IsolationLevel == readCommitted:
		return p.LastStableOffset()
	}
	return p.HighWatermark()
}
