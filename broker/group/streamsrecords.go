package group

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/coordinator/fields"
	"github.com/millrace-io/millrace/broker/group/assignor"
)

// Record types of streams groups; the values are Kafka's, version 0, flexible. The topology is in streamstopology.go.
const (
	streamsMetadataKey       = 17
	streamsPartitionsKey     = 18 // of an early version of the protocol; nobody writes it
	streamsMemberKey         = 19
	streamsTargetMetadataKey = 20
	streamsTargetMemberKey   = 21
	streamsCurrentKey        = 22
	streamsTopologyKey       = 23
)

func isStreamsKey(kind int16) bool {
	return kind >= streamsMetadataKey && kind <= streamsTopologyKey && kind != streamsPartitionsKey
}

// streamsEpoch is what StreamsGroupMetadata says.
type streamsEpoch struct {
	epoch     int32
	hash      uint64
	validated int32
	configs   map[string]string
}

// streamsEpochRecord is StreamsGroupMetadata.
func streamsEpochRecord(group groupKey, e streamsEpoch) coordinator.Record {
	w := newValue()
	w.int32(e.epoch)
	w.int64(int64(e.hash))
	tags := 1
	if e.validated != -1 {
		tags++
	}
	w.uvarint(tags)
	if e.validated != -1 {
		w.tag(0, binary.BigEndian.AppendUint32(nil, uint32(e.validated)))
	}
	configs := &valueWriter{}
	configs.pairs(e.configs)
	w.tag(1, configs.b)
	return coordinator.Record{Key: consumerKey(streamsMetadataKey, group), Value: w.b}
}

func (w *valueWriter) pairs(all map[string]string) {
	w.count(len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		w.string(name)
		w.string(all[name])
		w.noTags()
	}
}

// streamsMemberRecord is StreamsGroupMemberMetadata.
func streamsMemberRecord(group groupKey, m *streamsMember) coordinator.Record {
	w := newValue()
	w.nullable(m.instanceID)
	w.nullable(m.rackID)
	w.string(m.clientID)
	w.string(m.clientHost)
	w.int32(m.rebalanceTimeoutMillis)
	w.int32(m.topologyEpoch)
	w.string(m.processID)
	if m.endpoint == nil {
		w.int8(-1)
	} else {
		w.int8(1)
		w.string(m.endpoint.host)
		w.int16(int16(m.endpoint.port))
		w.noTags()
	}
	w.pairs(m.tags)
	w.noTags()
	return coordinator.Record{Key: consumerMemberKeyOf(streamsMemberKey, group, m.id), Value: w.b}
}

// streamsTargetEpochRecord is StreamsGroupTargetAssignmentMetadata.
func streamsTargetEpochRecord(group groupKey, epoch int32, millis int64) coordinator.Record {
	w := newValue()
	w.int32(epoch)
	if millis == 0 {
		w.noTags()
	} else {
		w.uvarint(1)
		w.tag(0, binary.BigEndian.AppendUint64(nil, uint64(millis)))
	}
	return coordinator.Record{Key: consumerKey(streamsTargetMetadataKey, group), Value: w.b}
}

// streamsTargetRecord is StreamsGroupTargetAssignmentMember.
func streamsTargetRecord(group groupKey, member string, target tasks) coordinator.Record {
	w := newValue()
	for _, set := range []taskSet{target.active, target.standby, target.warmup} {
		w.tasks(set, false)
	}
	w.noTags()
	return coordinator.Record{Key: consumerMemberKeyOf(streamsTargetMemberKey, group, member), Value: w.b}
}

// streamsCurrentRecord is StreamsGroupCurrentMemberAssignment.
func streamsCurrentRecord(group groupKey, m *streamsMember) coordinator.Record {
	w := newValue()
	w.int32(m.epoch)
	w.int32(m.previousEpoch)
	w.int8(int8(m.state))
	for _, t := range []tasks{m.assigned, m.revoking} {
		w.tasks(t.active, true)
		w.tasks(t.standby, false)
		w.tasks(t.warmup, false)
	}
	w.noTags()
	return coordinator.Record{Key: consumerMemberKeyOf(streamsCurrentKey, group, m.id), Value: w.b}
}

// tasks writes a set by subtopology; the epochs of active tasks are in a tagged field.
func (w *valueWriter) tasks(set taskSet, withEpochs bool) {
	parts := bySubtopology(set)
	w.count(len(parts))
	for _, part := range parts {
		w.string(part.id)
		w.int32s(part.partitions)
		if !withEpochs {
			w.noTags()
			continue
		}
		epochs := &valueWriter{}
		epochs.count(len(part.partitions))
		for _, p := range part.partitions {
			epochs.int32(set[assignor.Task{Subtopology: part.id, Partition: p}])
		}
		w.uvarint(1)
		w.tag(0, epochs.b)
	}
}

// subtopologyTasks are those tasks of a set that are of one subtopology.
type subtopologyTasks struct {
	id         string
	partitions []int32
}

// bySubtopology divides a set, in order.
func bySubtopology(set taskSet) []subtopologyTasks {
	var parts []subtopologyTasks
	for _, t := range set.sorted() {
		if n := len(parts); n == 0 || parts[n-1].id != t.Subtopology {
			parts = append(parts, subtopologyTasks{id: t.Subtopology})
		}
		last := &parts[len(parts)-1]
		last.partitions = append(last.partitions, t.Partition)
	}
	return parts
}

func parseStreamsEpoch(value []byte) (e streamsEpoch, err error) {
	const what = "StreamsGroupMetadataValue"
	r, err := flexibleValue(value, what)
	if err != nil {
		return e, err
	}
	e.epoch, e.hash, e.validated = r.Int32(), uint64(r.Int64()), -1
	r.Tags(func(number int, field *fields.Reader) {
		switch number {
		case 0:
			e.validated = field.Int32()
		case 1:
			e.configs = readPairs(field)
		}
	})
	return e, r.Done(what)
}

func readPairs(r *fields.Reader) map[string]string {
	pairs := map[string]string{}
	for n := r.Count(3); n > 0 && r.Err == nil; n-- {
		name := r.Text()
		pairs[name] = r.Text()
		r.Tags(nil)
	}
	return pairs
}

func parseStreamsMember(value []byte, m *streamsMember) error {
	const what = "StreamsGroupMemberMetadataValue"
	r, err := flexibleValue(value, what)
	if err != nil {
		return err
	}
	m.instanceID, m.rackID, m.clientID, m.clientHost = r.NullableText(), r.NullableText(), r.Text(), r.Text()
	m.rebalanceTimeoutMillis, m.topologyEpoch, m.processID, m.endpoint = r.Int32(), r.Int32(), r.Text(), nil
	if r.Int8() >= 0 && r.Err == nil {
		m.endpoint = &endpoint{r.Text(), uint16(r.Int16())}
		r.Tags(nil)
	}
	m.tags = readPairs(r)
	r.Tags(nil)
	return r.Done(what)
}

func parseStreamsTarget(value []byte) (t tasks, err error) {
	const what = "StreamsGroupTargetAssignmentMemberValue"
	r, err := flexibleValue(value, what)
	if err != nil {
		return t, err
	}
	t = readTasks(r, 0)
	r.Tags(nil)
	return t, r.Done(what)
}

func parseStreamsCurrent(value []byte, m *streamsMember) error {
	const what = "StreamsGroupCurrentMemberAssignmentValue"
	r, err := flexibleValue(value, what)
	if err != nil {
		return err
	}
	m.epoch, m.previousEpoch, m.state = r.Int32(), r.Int32(), memberState(r.Int8())
	m.assigned, m.revoking = readTasks(r, m.epoch), readTasks(r, m.epoch)
	r.Tags(nil)
	return r.Done(what)
}

// readTasks reads active, standby and warm-up tasks; epoch is of active tasks that have none of their own.
func readTasks(r *fields.Reader, epoch int32) tasks {
	return tasks{active: readTaskSet(r, epoch), standby: readTaskSet(r, 0), warmup: readTaskSet(r, 0)}
}

func readTaskSet(r *fields.Reader, epoch int32) taskSet {
	set := taskSet{}
	for n := r.Count(3); n > 0 && r.Err == nil; n-- {
		subtopology, partitions := r.Text(), r.Int32s()
		var epochs []int32
		r.Tags(func(number int, field *fields.Reader) {
			if number == 0 {
				epochs = field.Int32s()
			}
		})
		for i, p := range partitions {
			t := assignor.Task{Subtopology: subtopology, Partition: p}
			if set[t] = epoch; len(epochs) == len(partitions) {
				set[t] = epochs[i]
			}
		}
	}
	return set
}
