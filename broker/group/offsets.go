package group

import (
	"maps"
	"slices"
	"time"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// commitRequest is an OffsetCommit whose topics exist and have their names.
type commitRequest struct {
	key  groupKey
	body *kmsg.OffsetCommitRequest
}

// fetchRequest is an OffsetFetch of one group; Topics nil asks for all. The names of topics are filled in.
type fetchRequest struct {
	key  groupKey
	body *kmsg.OffsetFetchRequestGroup
	// stable asks that no offset is told which the end of an open transaction may change (KIP-447).
	stable bool
}

// deleteOffsetsRequest is an OffsetDelete whose topics exist.
type deleteOffsetsRequest struct {
	key  groupKey
	body *kmsg.OffsetDeleteRequest
}

// topicDeleted says that a topic is gone: groups forget their offsets of it.
type topicDeleted struct{ tenant, topic string }

// commitOffsets writes offsets. A group that is not there is made, if the commit does not claim to be of a member.
func (s *shard) commitOffsets(e commitRequest, ticket coordinator.Ticket, now time.Time, do *effects) {
	g := s.lookup(e.key)
	if err := g.validateCommit(e.body); err != nil {
		do.replyNow(ticket, CommitError(e.body, err))
		return
	}
	if g != nil && g.isClassic() && (g.state == stable || g.state == preparingRebalance) {
		m := g.byID[e.body.MemberID] // a commit is as good as a heartbeat
		s.startSession(g, m, millis(m.sessionTimeoutMillis), now)
	}
	expireMillis := int64(-1)
	if e.body.Version >= 2 && e.body.Version <= 4 && e.body.RetentionTimeMillis != -1 {
		expireMillis = now.UnixMilli() + e.body.RetentionTimeMillis
	}
	r := CommitError(e.body, nil)
	for i, topic := range e.body.Topics {
		for j, p := range topic.Partitions {
			metadata := ""
			if p.Metadata != nil {
				metadata = *p.Metadata
			}
			if s.isTooLarge(metadata) {
				r.Topics[i].Partitions[j].ErrorCode = kerr.OffsetMetadataTooLarge.Code
				continue
			}
			if stale := s.staleCommit(g, e.body.MemberID, e.body.Generation, topic.Topic, p.Partition); stale != nil {
				do.Records = nil // as in Kafka, one that is not its own refuses all of them
				do.replyNow(ticket, CommitError(e.body, stale))
				return
			}
			leaderEpoch := int32(-1)
			if e.body.Version >= 6 {
				leaderEpoch = p.LeaderEpoch
			}
			do.write(offsetRecord(e.key, topic.Topic, p.Partition, committedOffset{
				offset: p.Offset, leaderEpoch: leaderEpoch, metadata: metadata, commitMillis: now.UnixMilli(), expireMillis: expireMillis,
			}))
		}
	}
	s.figures.commits += int64(len(do.Records))
	do.Divisible = true // each partition's offset stands for itself, and a client that got an error commits again
	do.reply(ticket, r)
}

// isTooLarge counts as Kafka does, in UTF-16 units.
func (s *shard) isTooLarge(metadata string) bool {
	limit := int(s.settings().OffsetMetadataMaxBytes)
	if len(metadata) > maxNameBytes {
		return true
	}
	return len(metadata) > limit && len(utf16.Encode([]rune(metadata))) > limit
}

// validateCommit says whether the request may commit. g is nil when the group is not there.
func (g *group) validateCommit(r *kmsg.OffsetCommitRequest) *kerr.Error {
	if g != nil && g.share != nil {
		return kerr.GroupIDNotFound
	}
	if g != nil && g.consumer != nil {
		return g.consumer.validateCommit(r.MemberID, r.Generation, r.Version)
	}
	if g != nil && g.streams != nil {
		return g.streams.validateCommit(r.MemberID, r.Generation, r.Version)
	}
	switch {
	case g == nil && r.Generation < 0:
		return nil
	case g == nil && r.Version >= 9:
		return kerr.GroupIDNotFound
	case g == nil:
		return kerr.IllegalGeneration
	case r.Generation < 0 && g.state == empty:
		return nil // an administrator, or a consumer without group management
	case r.Generation < 0 && r.MemberID == "" && r.InstanceID == nil:
		return kerr.UnknownMemberID
	}
	if err := g.validate(r.MemberID, r.InstanceID); err != nil {
		return err
	}
	if r.Generation != g.generation {
		return kerr.IllegalGeneration
	}
	if g.state == completingRebalance {
		return kerr.RebalanceInProgress
	}
	return nil
}

// CommitError answers each partition of a commit with the error; nil is success.
func CommitError(body *kmsg.OffsetCommitRequest, err *kerr.Error) *kmsg.OffsetCommitResponse {
	r := kmsg.NewPtrOffsetCommitResponse()
	for _, topic := range body.Topics {
		t := kmsg.NewOffsetCommitResponseTopic()
		t.Topic, t.TopicID = topic.Topic, topic.TopicID
		for _, partition := range topic.Partitions {
			p := kmsg.NewOffsetCommitResponseTopicPartition()
			p.Partition = partition.Partition
			if err != nil {
				p.ErrorCode = err.Code
			}
			t.Partitions = append(t.Partitions, p)
		}
		r.Topics = append(r.Topics, t)
	}
	return r
}

// fetchOffsets tells committed offsets. The answer waits until what it tells is committed to the log.
func (s *shard) fetchOffsets(e fetchRequest, ticket coordinator.Ticket, do *effects) {
	r := kmsg.NewOffsetFetchResponseGroup()
	r.Group = e.body.Group
	var offsets map[string]map[int32]committedOffset
	g := s.lookup(e.key)
	if g != nil {
		if g.share != nil {
			r.ErrorCode = kerr.GroupIDNotFound.Code
			do.replyNow(ticket, &r)
			return
		}
		if g.consumer != nil {
			if err := g.consumer.validateFetch(e.body.MemberID, e.body.MemberEpoch); err != nil {
				r.ErrorCode = err.Code
				do.replyNow(ticket, &r)
				return
			}
		}
		if g.streams != nil {
			if err := g.streams.validateFetch(e.body.MemberID, e.body.MemberEpoch); err != nil {
				r.ErrorCode = err.Code
				do.replyNow(ticket, &r)
				return
			}
		}
		offsets = g.offsets
	}
	if e.body.Topics == nil {
		for _, topic := range slices.Sorted(maps.Keys(offsets)) {
			t := kmsg.NewOffsetFetchResponseGroupTopic()
			t.Topic = topic
			for _, partition := range slices.Sorted(maps.Keys(offsets[topic])) {
				t.Partitions = append(t.Partitions, e.fetchedOffset(g, topic, partition))
			}
			r.Topics = append(r.Topics, t)
		}
	}
	for _, topic := range e.body.Topics {
		t := kmsg.NewOffsetFetchResponseGroupTopic()
		t.Topic, t.TopicID = topic.Topic, topic.TopicID
		for _, partition := range topic.Partitions {
			t.Partitions = append(t.Partitions, e.fetchedOffset(g, topic.Topic, partition))
		}
		r.Topics = append(r.Topics, t)
	}
	do.reply(ticket, &r)
}

// fetchedOffset tells one offset; g is nil when the group is not there.
func (e *fetchRequest) fetchedOffset(g *group, topic string, partition int32) kmsg.OffsetFetchResponseGroupTopicPartition {
	p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	none := ""
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = partition, -1, -1, &none
	if g == nil {
		return p
	}
	if e.stable && g.hasPending(topic, partition) {
		p.ErrorCode = kerr.UnstableOffsetCommit.Code
	} else if o, ok := g.offsets[topic][partition]; ok {
		p.Offset, p.LeaderEpoch, p.Metadata = o.offset, o.leaderEpoch, &o.metadata
	}
	return p
}

// deleteOffsets forgets offsets of topics that nobody in the group subscribes to.
func (s *shard) deleteOffsets(e deleteOffsetsRequest, ticket coordinator.Ticket, do *effects) {
	r := kmsg.NewPtrOffsetDeleteResponse()
	g := s.lookup(e.key)
	switch {
	case g == nil || g.share != nil:
		r.ErrorCode = kerr.GroupIDNotFound.Code
	case g.isClassic() && g.state != empty && !g.isConsumer():
		r.ErrorCode = kerr.NonEmptyGroup.Code // what others subscribe to is not known
	default:
		for _, topic := range e.body.Topics {
			r.Topics = append(r.Topics, s.deleteOffsetsOf(g, topic, do))
		}
	}
	do.Divisible = true
	do.reply(ticket, r)
}

func (s *shard) deleteOffsetsOf(g *group, topic kmsg.OffsetDeleteRequestTopic, do *effects) kmsg.OffsetDeleteResponseTopic {
	t := kmsg.NewOffsetDeleteResponseTopic()
	t.Topic = topic.Topic
	subscribed := g.isSubscribedTo(topic.Topic)
	for _, partition := range topic.Partitions {
		p := kmsg.NewOffsetDeleteResponseTopicPartition()
		p.Partition = partition.Partition
		if subscribed {
			p.ErrorCode = kerr.GroupSubscribedToTopic.Code
		} else if _, ok := g.offsets[topic.Topic][partition.Partition]; ok || g.hasPending(topic.Topic, partition.Partition) {
			do.write(offsetTombstone(g.key, topic.Topic, partition.Partition))
			s.figures.deleted++
		}
		t.Partitions = append(t.Partitions, p)
	}
	return t
}

// dropTopic forgets every group's offsets of a topic that was deleted.
func (s *shard) dropTopic(e topicDeleted, do *effects) {
	do.Divisible = true
	for _, key := range s.sortedKeys() {
		if key.tenant != e.tenant {
			continue
		}
		s.dropShareTopic(key, e.topic, s.now, do)
		for _, partition := range slices.Sorted(maps.Keys(s.groups[key].offsets[e.topic])) {
			do.write(offsetTombstone(key, e.topic, partition))
			s.figures.deleted++
		}
		for _, at := range s.groups[key].pendingAlone() {
			if at.topic == e.topic {
				do.write(offsetTombstone(key, e.topic, at.partition))
				s.figures.deleted++
			}
		}
	}
}
