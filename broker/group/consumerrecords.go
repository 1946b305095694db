package group

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/coordinator/fields"
	"github.com/millrace-io/millrace/broker/group/assignor"
)

// Record types of consumer groups; the values are Kafka's, version 0, flexible.
const (
	consumerMetadataKey          = 3
	consumerPartitionsKey        = 4 // what Kafka 4.0 wrote of subscribed topics; read to know that it is there
	consumerMemberKey            = 5
	consumerTargetMetadataKey    = 6
	consumerTargetMemberKey      = 7
	consumerCurrentKey           = 8
	consumerRegularExpressionKey = 16
)

func consumerKey(kind uint16, group groupKey) []byte {
	return appendString(binary.BigEndian.AppendUint16(nil, kind), group.onDisk())
}

func consumerMemberKeyOf(kind uint16, group groupKey, member string) []byte {
	return appendString(consumerKey(kind, group), member)
}

func consumerTombstone(kind uint16, group groupKey) coordinator.Record {
	return coordinator.Record{Key: consumerKey(kind, group)}
}

func consumerMemberTombstone(kind uint16, group groupKey, member string) coordinator.Record {
	return coordinator.Record{Key: consumerMemberKeyOf(kind, group, member)}
}

// valueWriter writes a flexible value of version 0.
type valueWriter struct{ b []byte }

func newValue() *valueWriter { return &valueWriter{b: []byte{0, 0}} }

func (w *valueWriter) int8(n int8)     { w.b = append(w.b, byte(n)) }
func (w *valueWriter) int32(n int32)   { w.b = binary.BigEndian.AppendUint32(w.b, uint32(n)) }
func (w *valueWriter) int64(n int64)   { w.b = binary.BigEndian.AppendUint64(w.b, uint64(n)) }
func (w *valueWriter) uvarint(n int)   { w.b = binary.AppendUvarint(w.b, uint64(n)) }
func (w *valueWriter) count(n int)     { w.uvarint(n + 1) }
func (w *valueWriter) noTags()         { w.b = append(w.b, 0) }
func (w *valueWriter) id(id TopicID)   { w.b = append(w.b, id[:]...) }
func (w *valueWriter) string(s string) { w.count(len(s)); w.b = append(w.b, s...) }
func (w *valueWriter) bytes(p []byte)  { w.count(len(p)); w.b = append(w.b, p...) }
func (w *valueWriter) nullable(s *string) {
	if s == nil {
		w.b = append(w.b, 0)
		return
	}
	w.string(*s)
}

func (w *valueWriter) int32s(list []int32) {
	w.count(len(list))
	for _, n := range list {
		w.int32(n)
	}
}

// tag writes one tagged field.
func (w *valueWriter) tag(number int, value []byte) {
	w.uvarint(number)
	w.uvarint(len(value))
	w.b = append(w.b, value...)
}

// consumerEpochRecord is ConsumerGroupMetadata.
func consumerEpochRecord(group groupKey, epoch int32, hash uint64, creationMillis int64) coordinator.Record {
	w := newValue()
	w.int32(epoch)
	tags := 0
	if hash != 0 {
		tags++
	}
	if creationMillis != -1 {
		tags++
	}
	w.uvarint(tags)
	if hash != 0 {
		w.tag(0, binary.BigEndian.AppendUint64(nil, hash))
	}
	if creationMillis != -1 {
		w.tag(1, binary.BigEndian.AppendUint64(nil, uint64(creationMillis)))
	}
	return coordinator.Record{Key: consumerKey(consumerMetadataKey, group), Value: w.b}
}

// consumerMemberRecord is ConsumerGroupMemberMetadata.
func consumerMemberRecord(group groupKey, m *consumerMember) coordinator.Record {
	w := newValue()
	w.nullable(m.instanceID)
	w.nullable(m.rackID)
	w.string(m.clientID)
	w.string(m.clientHost)
	w.count(len(m.topics))
	for _, topic := range m.topics {
		w.string(topic)
	}
	w.string(m.regex)
	w.int32(m.rebalanceTimeoutMillis)
	w.nullable(m.assignorName)
	if m.classic == nil {
		w.noTags()
	} else {
		w.uvarint(1)
		w.tag(0, classicMetadataValue(m.classic))
	}
	return coordinator.Record{Key: consumerMemberKeyOf(consumerMemberKey, group, m.id), Value: w.b}
}

// classicMetadataValue is a nullable struct in a tagged field: a byte that says that it is there comes first.
func classicMetadataValue(c *classicMetadata) []byte {
	w := &valueWriter{}
	w.int8(1)
	w.int32(c.sessionTimeoutMillis)
	w.count(len(c.protocols))
	for _, p := range c.protocols {
		w.string(p.Name)
		w.bytes(p.Metadata)
		w.noTags()
	}
	w.noTags()
	return w.b
}

// consumerTargetEpochRecord is ConsumerGroupTargetAssignmentMetadata.
func consumerTargetEpochRecord(group groupKey, epoch int32, millis int64) coordinator.Record {
	w := newValue()
	w.int32(epoch)
	if millis == 0 {
		w.noTags()
	} else {
		w.uvarint(1)
		w.tag(0, binary.BigEndian.AppendUint64(nil, uint64(millis)))
	}
	return coordinator.Record{Key: consumerKey(consumerTargetMetadataKey, group), Value: w.b}
}

// consumerTargetRecord is ConsumerGroupTargetAssignmentMember.
func consumerTargetRecord(group groupKey, member string, target assignor.Partitions) coordinator.Record {
	w := newValue()
	w.count(len(target))
	for _, id := range sortedIDs(target) {
		w.id(id)
		w.int32s(target[id])
		w.noTags()
	}
	w.noTags()
	return coordinator.Record{Key: consumerMemberKeyOf(consumerTargetMemberKey, group, member), Value: w.b}
}

// consumerCurrentRecord is ConsumerGroupCurrentMemberAssignment.
func consumerCurrentRecord(group groupKey, m *consumerMember) coordinator.Record {
	w := newValue()
	w.int32(m.epoch)
	w.int32(m.previousEpoch)
	w.int8(int8(m.state))
	w.held(m.assigned)
	w.held(m.revoking)
	w.noTags()
	return coordinator.Record{Key: consumerMemberKeyOf(consumerCurrentKey, group, m.id), Value: w.b}
}

func (w *valueWriter) held(h held) {
	w.count(len(h))
	for _, id := range sortedIDs(h) {
		partitions := slices.Sorted(maps.Keys(h[id]))
		w.id(id)
		w.int32s(partitions)
		epochs := &valueWriter{}
		epochs.count(len(partitions))
		for _, p := range partitions {
			epochs.int32(h[id][p])
		}
		w.uvarint(1)
		w.tag(0, epochs.b)
	}
}

func sortedIDs[V any](m map[TopicID]V) []TopicID {
	return slices.SortedFunc(maps.Keys(m), func(a, b TopicID) int { return slices.Compare(a[:], b[:]) })
}

// consumerRegexRecord is ConsumerGroupRegularExpression.
func consumerRegexRecord(group groupKey, regex string, r *resolvedRegex) coordinator.Record {
	w := newValue()
	w.count(len(r.topics))
	for _, topic := range r.topics {
		w.string(topic)
	}
	w.int64(r.version)
	w.int64(r.millis)
	w.noTags()
	return coordinator.Record{Key: consumerMemberKeyOf(consumerRegularExpressionKey, group, regex), Value: w.b}
}

// flexible starts to read a value of version 0.
func flexibleValue(value []byte, what string) (*fields.Reader, error) {
	version, r, err := versioned(value, what)
	if err != nil {
		return nil, err
	}
	if version != 0 {
		return nil, errVersion(what, version)
	}
	r.Flexible = true
	return r, nil
}

func parseConsumerEpoch(value []byte) (epoch int32, hash uint64, creationMillis int64, err error) {
	const what = "ConsumerGroupMetadataValue"
	r, err := flexibleValue(value, what)
	if err != nil {
		return 0, 0, 0, err
	}
	epoch, creationMillis = r.Int32(), -1
	r.Tags(func(number int, field *fields.Reader) {
		switch number {
		case 0:
			hash = uint64(field.Int64())
		case 1:
			creationMillis = field.Int64()
		}
	})
	return epoch, hash, creationMillis, r.Done(what)
}

// parseConsumerMember reads what a member says of itself into m.
func parseConsumerMember(value []byte, m *consumerMember) error {
	const what = "ConsumerGroupMemberMetadataValue"
	r, err := flexibleValue(value, what)
	if err != nil {
		return err
	}
	m.instanceID, m.rackID, m.clientID, m.clientHost = r.NullableText(), r.NullableText(), r.Text(), r.Text()
	m.topics = r.Texts()
	m.regex, m.classic = "", nil // a record says everything of itself, and what it leaves out is not so any more
	if regex := r.NullableText(); regex != nil {
		m.regex = *regex
	}
	m.rebalanceTimeoutMillis = r.Int32()
	m.assignorName = r.NullableText()
	r.Tags(func(number int, field *fields.Reader) {
		if number == 0 && field.Int8() == 1 {
			m.classic = parseClassicMetadata(field)
		}
	})
	slices.Sort(m.topics)
	return r.Done(what)
}

func parseClassicMetadata(r *fields.Reader) *classicMetadata {
	c := &classicMetadata{sessionTimeoutMillis: r.Int32()}
	for n := r.Count(3); n > 0 && r.Err == nil; n-- {
		c.protocols = append(c.protocols, kmsg.JoinGroupRequestProtocol{Name: r.Text(), Metadata: r.Bytes()})
		r.Tags(nil)
	}
	r.Tags(nil)
	return c
}

// parseTargetEpoch reads for which epoch of its group the target was made, and when. It has one form in groups of all three protocols;
// what is the name of the record.
func parseTargetEpoch(value []byte, what string) (epoch int32, millis int64, err error) {
	r, err := flexibleValue(value, what)
	if err != nil {
		return 0, 0, err
	}
	epoch = r.Int32()
	r.Tags(func(number int, field *fields.Reader) {
		if number == 0 {
			millis = field.Int64()
		}
	})
	return epoch, millis, r.Done(what)
}

func parseConsumerTarget(value []byte) (assignor.Partitions, error) {
	const what = "ConsumerGroupTargetAssignmentMemberValue"
	r, err := flexibleValue(value, what)
	if err != nil {
		return nil, err
	}
	target := make(assignor.Partitions)
	for n := r.Count(18); n > 0 && r.Err == nil; n-- {
		id, partitions := topicID(r), partitionNumbers(r)
		target[id] = partitions
		r.Tags(nil)
	}
	r.Tags(nil)
	return target, r.Done(what)
}

// parseConsumerCurrent reads how far a member has come into m.
func parseConsumerCurrent(value []byte, m *consumerMember) error {
	const what = "ConsumerGroupCurrentMemberAssignmentValue"
	r, err := flexibleValue(value, what)
	if err != nil {
		return err
	}
	m.epoch, m.previousEpoch, m.state = r.Int32(), r.Int32(), memberState(r.Int8())
	m.assigned, m.revoking = readHeld(r, m.epoch), readHeld(r, m.epoch)
	r.Tags(nil)
	return r.Done(what)
}

// readHeld reads partitions; one whose epoch is not there (Kafka before 4.3) counts as assigned at the member's.
func readHeld(r *fields.Reader, memberEpoch int32) held {
	h := make(held)
	for n := r.Count(18); n > 0 && r.Err == nil; n-- {
		id, partitions := topicID(r), r.Int32s() // in the order of their epochs
		var epochs []int32
		r.Tags(func(number int, field *fields.Reader) {
			if number == 0 {
				epochs = field.Int32s()
			}
		})
		h[id] = make(map[int32]int32, len(partitions))
		for i, p := range partitions {
			if p < 0 {
				r.Fail(errNegativePartition)
			}
			h[id][p] = memberEpoch
			if i < len(epochs) {
				h[id][p] = epochs[i]
			}
		}
	}
	return h
}

func parseConsumerRegex(value []byte) (*resolvedRegex, error) {
	const what = "ConsumerGroupRegularExpressionValue"
	r, err := flexibleValue(value, what)
	if err != nil {
		return nil, err
	}
	resolved := &resolvedRegex{topics: r.Texts(), version: r.Int64(), millis: r.Int64()}
	r.Tags(nil)
	slices.Sort(resolved.topics)
	return resolved, r.Done(what)
}
