package group

import (
	"encoding/binary"
	"slices"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/coordinator/fields"
	"github.com/millrace-io/millrace/broker/group/assignor"
)

// Record types of share groups; the values are Kafka's, version 0, flexible.
const (
	shareMemberKey         = 10
	shareMetadataKey       = 11
	shareTargetMetadataKey = 12
	shareTargetMemberKey   = 13
	shareCurrentKey        = 14
	shareStatesKey         = 15
)

func isShareKey(kind int16) bool { return kind >= shareMemberKey && kind <= shareStatesKey }

// shareEpochRecord is ShareGroupMetadata.
func shareEpochRecord(group groupKey, epoch int32, hash uint64) coordinator.Record {
	w := newValue()
	w.int32(epoch)
	w.int64(int64(hash))
	w.noTags()
	return coordinator.Record{Key: consumerKey(shareMetadataKey, group), Value: w.b}
}

// shareMemberRecord is ShareGroupMemberMetadata.
func shareMemberRecord(group groupKey, m *shareMember) coordinator.Record {
	w := newValue()
	w.nullable(m.rackID)
	w.string(m.clientID)
	w.string(m.clientHost)
	w.count(len(m.topics))
	for _, topic := range m.topics {
		w.string(topic)
	}
	w.noTags()
	return coordinator.Record{Key: consumerMemberKeyOf(shareMemberKey, group, m.id), Value: w.b}
}

// shareTargetEpochRecord is ShareGroupTargetAssignmentMetadata.
func shareTargetEpochRecord(group groupKey, epoch int32, millis int64) coordinator.Record {
	w := newValue()
	w.int32(epoch)
	if millis == 0 {
		w.noTags()
	} else {
		w.uvarint(1)
		w.tag(0, binary.BigEndian.AppendUint64(nil, uint64(millis)))
	}
	return coordinator.Record{Key: consumerKey(shareTargetMetadataKey, group), Value: w.b}
}

// shareTargetRecord is ShareGroupTargetAssignmentMember.
func shareTargetRecord(group groupKey, member string, target assignor.Partitions) coordinator.Record {
	w := newValue()
	w.partitions(target)
	w.noTags()
	return coordinator.Record{Key: consumerMemberKeyOf(shareTargetMemberKey, group, member), Value: w.b}
}

// shareCurrentRecord is ShareGroupCurrentMemberAssignment.
func shareCurrentRecord(group groupKey, m *shareMember) coordinator.Record {
	w := newValue()
	w.int32(m.epoch)
	w.int32(m.previousEpoch)
	w.int8(0) // MemberState.STABLE, the only one
	w.partitions(m.assigned)
	w.noTags()
	return coordinator.Record{Key: consumerMemberKeyOf(shareCurrentKey, group, m.id), Value: w.b}
}

func (w *valueWriter) partitions(all assignor.Partitions) {
	w.count(len(all))
	for _, id := range sortedIDs(all) {
		w.id(id)
		w.int32s(all[id])
		w.noTags()
	}
}

// shareStatesRecord is ShareGroupStatePartitionMetadata.
func shareStatesRecord(group groupKey, s shareStates) coordinator.Record {
	w := newValue()
	w.stateTopics(s.initializing)
	w.stateTopics(s.initialized)
	w.count(len(s.deleting))
	for _, id := range sortedIDs(s.deleting) {
		w.id(id)
		w.string(s.deleting[id])
		w.noTags()
	}
	w.noTags()
	return coordinator.Record{Key: consumerKey(shareStatesKey, group), Value: w.b}
}

func (w *valueWriter) stateTopics(topics map[TopicID]stateTopic) {
	w.count(len(topics))
	for _, id := range sortedIDs(topics) {
		w.id(id)
		w.string(topics[id].name)
		w.int32s(topics[id].partitions)
		w.noTags()
	}
}

func parseShareEpoch(value []byte) (epoch int32, hash uint64, err error) {
	const what = "ShareGroupMetadataValue"
	r, err := flexibleValue(value, what)
	if err != nil {
		return 0, 0, err
	}
	epoch, hash = r.Int32(), uint64(r.Int64())
	r.Tags(nil)
	return epoch, hash, r.Done(what)
}

func parseShareMember(value []byte, m *shareMember) error {
	const what = "ShareGroupMemberMetadataValue"
	r, err := flexibleValue(value, what)
	if err != nil {
		return err
	}
	m.rackID, m.clientID, m.clientHost, m.topics = r.NullableText(), r.Text(), r.Text(), r.Texts()
	r.Tags(nil)
	slices.Sort(m.topics)
	return r.Done(what)
}

func parseShareTarget(value []byte) (assignor.Partitions, error) {
	const what = "ShareGroupTargetAssignmentMemberValue"
	r, err := flexibleValue(value, what)
	if err != nil {
		return nil, err
	}
	target := readAssigned(r)
	r.Tags(nil)
	return target, r.Done(what)
}

func parseShareCurrent(value []byte, m *shareMember) error {
	const what = "ShareGroupCurrentMemberAssignmentValue"
	r, err := flexibleValue(value, what)
	if err != nil {
		return err
	}
	m.epoch, m.previousEpoch = r.Int32(), r.Int32()
	r.Int8()
	m.assigned = readAssigned(r)
	r.Tags(nil)
	return r.Done(what)
}

func readAssigned(r *fields.Reader) assignor.Partitions {
	all := make(assignor.Partitions)
	for n := r.Count(18); n > 0 && r.Err == nil; n-- {
		id, partitions := topicID(r), r.Int32s()
		slices.Sort(partitions)
		all[id] = partitions
		r.Tags(nil)
	}
	return all
}

func parseShareStates(value []byte) (s shareStates, err error) {
	const what = "ShareGroupStatePartitionMetadataValue"
	r, err := flexibleValue(value, what)
	if err != nil {
		return s, err
	}
	s.initializing, s.initialized, s.deleting = readStateTopics(r), readStateTopics(r), map[TopicID]string{}
	for n := r.Count(18); n > 0 && r.Err == nil; n-- {
		id := topicID(r)
		s.deleting[id] = r.Text()
		r.Tags(nil)
	}
	r.Tags(nil)
	return s, r.Done(what)
}

func readStateTopics(r *fields.Reader) map[TopicID]stateTopic {
	topics := map[TopicID]stateTopic{}
	for n := r.Count(19); n > 0 && r.Err == nil; n-- {
		id := topicID(r)
		t := stateTopic{name: r.Text(), partitions: r.Int32s()}
		slices.Sort(t.partitions)
		topics[id] = t
		r.Tags(nil)
	}
	return topics
}
