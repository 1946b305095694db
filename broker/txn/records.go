package txn

import (
	"encoding/binary"
	"fmt"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/coordinator/fields"
)

// Versions of the records of __transaction_state. DESIGN.md has the layouts.
const (
	keyVersion      = 0
	valueVersion    = 1 // what is written; 0 is read, too
	maxValueVersion = 1

	tagPreviousProducerID = 0
	tagNextProducerID     = 1
	tagClientVersion      = 2
	tagLastEpoch          = 1000 // ours: Kafka forgets it when the coordinator moves
)

// key names a transactional id in memory.
type key struct{ tenant, id string }

const defaultTenant = coordinator.DefaultTenant

// onDisk is the name in records, for the hash that chooses the partition, and between brokers.
func (k key) onDisk() string { return coordinator.QualifiedName(k.tenant, k.id) }

func keyFromDisk(name string) key {
	tenant, id := coordinator.SplitName(name)
	return key{tenant, id}
}

// parseKey reports by known whether the key is of a version that this one reads; others are skipped.
func parseKey(b []byte) (k key, known bool, err error) {
	r := fields.Reader{Rest: b}
	if version := r.Int16(); r.Err == nil && version != keyVersion {
		return key{}, false, nil
	}
	k = keyFromDisk(r.Text())
	return k, true, r.Done("TransactionLogKey")
}

func parseState(value []byte) (state, error) {
	const what = "TransactionLogValue"
	r := &fields.Reader{Rest: value}
	version := r.Int16()
	if r.Err == nil && (version < 0 || version > maxValueVersion) {
		return state{}, fmt.Errorf("%s: version %d is not known", what, version)
	}
	r.Flexible = version >= 1
	s := newState(r.Int64(), 0)
	s.epoch, s.timeoutMillis, s.status = r.Int16(), r.Int32(), status(r.Int8())
	if r.Err == nil && (s.status < 0 || s.status >= statusCount) {
		return state{}, fmt.Errorf("%s: status %d is not known", what, s.status)
	}
	s.partitions = parsePartitions(r)
	s.updateMillis, s.startMillis = r.Int64(), r.Int64()
	r.Tags(func(tag int, field *fields.Reader) {
		switch tag {
		case tagPreviousProducerID:
			s.previousProducerID = field.Int64()
		case tagNextProducerID:
			s.nextProducerID = field.Int64()
		case tagClientVersion:
			s.clientVersion = field.Int16()
		case tagLastEpoch:
			s.lastEpoch = field.Int16()
		}
	})
	return s, r.Done(what)
}

// parsePartitions does not trust the order in which another broker wrote them.
func parsePartitions(r *fields.Reader) (list []topicPartitions) {
	for topics := r.Count(2); topics > 0 && r.Err == nil; topics-- {
		topic := r.Text()
		for n := r.Count(4); n > 0; n-- {
			list = include(list, Partition{topic, r.Int32()})
		}
		r.Tags(nil)
	}
	return list
}

func keyBytes(k key) []byte {
	name := k.onDisk()
	b := make([]byte, 0, 4+len(name))
	b = binary.BigEndian.AppendUint16(b, keyVersion)
	b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
	return append(b, name...)
}

func stateRecord(k key, s state) coordinator.Record {
	v := make([]byte, 0, 64+sizeOf(s.partitions))
	v = binary.BigEndian.AppendUint16(v, valueVersion)
	v = binary.BigEndian.AppendUint64(v, uint64(s.producerID))
	v = binary.BigEndian.AppendUint16(v, uint16(s.epoch))
	v = binary.BigEndian.AppendUint32(v, uint32(s.timeoutMillis))
	v = append(v, byte(s.status))
	v = appendPartitions(v, s)
	v = binary.BigEndian.AppendUint64(v, uint64(s.updateMillis))
	v = binary.BigEndian.AppendUint64(v, uint64(s.startMillis))
	return coordinator.Record{Key: keyBytes(k), Value: appendTags(v, s)}
}

// appendPartitions writes null for the empty status, as Kafka does.
func appendPartitions(v []byte, s state) []byte {
	if s.status == empty {
		return append(v, 0)
	}
	v = appendUvarint(v, len(s.partitions)+1)
	for _, t := range s.partitions {
		v = appendCompactString(v, t.topic)
		v = appendUvarint(v, len(t.partitions)+1)
		for _, number := range t.partitions {
			v = binary.BigEndian.AppendUint32(v, uint32(number))
		}
		v = append(v, 0) // no tags
	}
	return v
}

// appendTags writes what is not its default, in the order of tags.
func appendTags(v []byte, s state) []byte {
	tags := []struct {
		tag, sizeBytes int
		value, absent  int64
	}{
		{tagPreviousProducerID, 8, s.previousProducerID, noProducerID}, {tagNextProducerID, 8, s.nextProducerID, noProducerID},
		{tagClientVersion, 2, int64(s.clientVersion), 0}, {tagLastEpoch, 2, int64(s.lastEpoch), noEpoch},
	}
	count := 0
	for _, t := range tags {
		if t.value != t.absent {
			count++
		}
	}
	v = appendUvarint(v, count)
	for _, t := range tags {
		if t.value == t.absent {
			continue
		}
		v = appendUvarint(appendUvarint(v, t.tag), t.sizeBytes)
		if t.sizeBytes == 8 {
			v = binary.BigEndian.AppendUint64(v, uint64(t.value))
		} else {
			v = binary.BigEndian.AppendUint16(v, uint16(t.value))
		}
	}
	return v
}

func sizeOf(list []topicPartitions) (bytes int) {
	for _, t := range list {
		bytes += 8 + len(t.topic) + 4*len(t.partitions)
	}
	return bytes
}

func tombstone(k key) coordinator.Record { return coordinator.Record{Key: keyBytes(k)} }
