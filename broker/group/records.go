package group

import (
	"encoding/binary"
	"fmt"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/coordinator/fields"
)

// Record types of __consumer_offsets: the first two bytes of a key. DESIGN.md has the layouts.
const (
	offsetCommitKeyV0 = 0
	offsetCommitKeyV1 = 1
	groupMetadataKey  = 2

	offsetCommitValueVersion         = 3 // what is written; up to 4 is read
	offsetCommitValueVersionExpiring = 1 // written for a commit with its own retention time (OffsetCommit v2-v4)
	groupMetadataValueVersion        = 3
	maxValueVersion                  = 4
)

// groupKey names a group in memory.
type groupKey struct{ tenant, id string }

const defaultTenant = coordinator.DefaultTenant

// onDisk is the group's name in records and for the hash that chooses its partition.
func (k groupKey) onDisk() string { return coordinator.QualifiedName(k.tenant, k.id) }

func keyFromDisk(name string) groupKey {
	tenant, id := coordinator.SplitName(name)
	return groupKey{tenant, id}
}

// committedOffset is the value of an offset commit.
type committedOffset struct {
	offset       int64
	leaderEpoch  int32 // -1: unknown
	metadata     string
	commitMillis int64
	expireMillis int64 // -1: by the broker's retention
	order        int64 // of its record among the shard's offsets; not in the record
}

// storedGroup is the value of group metadata: the last generation that was completed.
type storedGroup struct {
	protocolType       string
	generation         int32
	protocol           *string // nil: none chosen
	leader             *string
	stateChangedMillis int64 // -1: unknown
	members            []storedMember
}

type storedMember struct {
	id                     string
	instanceID             *string
	clientID, clientHost   string
	rebalanceTimeoutMillis int32
	sessionTimeoutMillis   int32
	subscription           []byte // metadata of the chosen protocol
	assignment             []byte
}

// parsedKey is a key of one of the types we know; known is false for the others, which are skipped and kept.
type parsedKey struct {
	known     bool
	isOffset  bool
	kind      int16
	group     groupKey
	topic     string
	partition int32
	member    string // or the regular expression of that type; only of consumer groups
}

func parseKey(key []byte) (parsedKey, error) {
	r := fields.Reader{Rest: key}
	k := parsedKey{known: true}
	k.kind = r.Int16()
	switch kind := k.kind; {
	case r.Err != nil:
	case kind == offsetCommitKeyV0 || kind == offsetCommitKeyV1:
		k.isOffset = true
		k.group, k.topic, k.partition = keyFromDisk(r.Text()), r.Text(), r.Int32()
	case kind == groupMetadataKey, kind == consumerMetadataKey, kind == consumerPartitionsKey, kind == consumerTargetMetadataKey:
		k.group = keyFromDisk(r.Text())
	case kind == consumerMemberKey, kind == consumerTargetMemberKey, kind == consumerCurrentKey, kind == consumerRegularExpressionKey:
		k.group, k.member = keyFromDisk(r.Text()), r.Text()
	case kind == shareMetadataKey, kind == shareTargetMetadataKey, kind == shareStatesKey:
		k.group = keyFromDisk(r.Text())
	case kind == streamsMetadataKey, kind == streamsTargetMetadataKey, kind == streamsTopologyKey:
		k.group = keyFromDisk(r.Text())
	case kind == streamsMemberKey, kind == streamsTargetMemberKey, kind == streamsCurrentKey:
		k.group, k.member = keyFromDisk(r.Text()), r.Text()
	case kind == shareMemberKey, kind == shareTargetMemberKey, kind == shareCurrentKey:
		k.group, k.member = keyFromDisk(r.Text()), r.Text()
	default:
		k.known = false
	}
	return k, r.Done("key")
}

func versioned(value []byte, what string) (version int16, r *fields.Reader, err error) {
	r = &fields.Reader{Rest: value}
	version = r.Int16()
	if r.Err != nil {
		return 0, nil, r.Done(what)
	}
	if version < 0 || version > maxValueVersion {
		return 0, nil, fmt.Errorf("%s: version %d is not known", what, version)
	}
	r.Flexible = version >= 4
	return version, r, nil
}

func parseOffset(value []byte) (committedOffset, error) {
	const what = "OffsetCommitValue"
	version, r, err := versioned(value, what)
	if err != nil {
		return committedOffset{}, err
	}
	o := committedOffset{leaderEpoch: -1, expireMillis: -1}
	o.offset = r.Int64()
	if version >= 3 {
		o.leaderEpoch = r.Int32()
	}
	o.metadata = r.Text()
	o.commitMillis = r.Int64()
	if version == 1 {
		o.expireMillis = r.Int64()
	}
	r.Tags(nil)
	return o, r.Done(what)
}

func parseGroup(value []byte) (*storedGroup, error) {
	const what = "GroupMetadataValue"
	version, r, err := versioned(value, what)
	if err != nil {
		return nil, err
	}
	g := &storedGroup{stateChangedMillis: -1}
	g.protocolType, g.generation, g.protocol, g.leader = r.Text(), r.Int32(), r.NullableText(), r.NullableText()
	if version >= 2 {
		g.stateChangedMillis = r.Int64()
	}
	for n := r.Count(10); n > 0 && r.Err == nil; n-- {
		g.members = append(g.members, parseMember(r, version))
	}
	r.Tags(nil)
	return g, r.Done(what)
}

func parseMember(r *fields.Reader, version int16) storedMember {
	m := storedMember{id: r.Text()}
	if version >= 3 {
		m.instanceID = r.NullableText()
	}
	m.clientID, m.clientHost = r.Text(), r.Text()
	m.rebalanceTimeoutMillis = -1
	if version >= 1 {
		m.rebalanceTimeoutMillis = r.Int32()
	}
	m.sessionTimeoutMillis = r.Int32()
	if m.rebalanceTimeoutMillis == -1 {
		m.rebalanceTimeoutMillis = m.sessionTimeoutMillis
	}
	m.subscription, m.assignment = r.Bytes(), r.Bytes()
	r.Tags(nil)
	return m
}

func offsetKey(group groupKey, topic string, partition int32) []byte {
	name := group.onDisk()
	key := make([]byte, 0, 10+len(name)+len(topic))
	key = binary.BigEndian.AppendUint16(key, offsetCommitKeyV1)
	key = appendString(key, name)
	key = appendString(key, topic)
	return binary.BigEndian.AppendUint32(key, uint32(partition))
}

func offsetRecord(group groupKey, topic string, partition int32, o committedOffset) coordinator.Record {
	value := make([]byte, 0, 32+len(o.metadata))
	if o.expireMillis == -1 {
		value = binary.BigEndian.AppendUint16(value, offsetCommitValueVersion)
		value = binary.BigEndian.AppendUint64(value, uint64(o.offset))
		value = binary.BigEndian.AppendUint32(value, uint32(o.leaderEpoch))
	} else {
		value = binary.BigEndian.AppendUint16(value, offsetCommitValueVersionExpiring)
		value = binary.BigEndian.AppendUint64(value, uint64(o.offset))
	}
	value = appendString(value, o.metadata)
	value = binary.BigEndian.AppendUint64(value, uint64(o.commitMillis))
	if o.expireMillis != -1 {
		value = binary.BigEndian.AppendUint64(value, uint64(o.expireMillis))
	}
	return coordinator.Record{Key: offsetKey(group, topic, partition), Value: value}
}

func offsetTombstone(group groupKey, topic string, partition int32) coordinator.Record {
	return coordinator.Record{Key: offsetKey(group, topic, partition)}
}

func groupMetadataKeyBytes(group groupKey) []byte {
	return appendString(binary.BigEndian.AppendUint16(nil, groupMetadataKey), group.onDisk())
}

func groupRecord(group groupKey, g *storedGroup) coordinator.Record {
	value := binary.BigEndian.AppendUint16(nil, groupMetadataValueVersion)
	value = appendString(value, g.protocolType)
	value = binary.BigEndian.AppendUint32(value, uint32(g.generation))
	value = appendNullableString(value, g.protocol)
	value = appendNullableString(value, g.leader)
	value = binary.BigEndian.AppendUint64(value, uint64(g.stateChangedMillis))
	value = binary.BigEndian.AppendUint32(value, uint32(len(g.members)))
	for _, m := range g.members {
		value = appendString(value, m.id)
		value = appendNullableString(value, m.instanceID)
		value = appendString(value, m.clientID)
		value = appendString(value, m.clientHost)
		value = binary.BigEndian.AppendUint32(value, uint32(m.rebalanceTimeoutMillis))
		value = binary.BigEndian.AppendUint32(value, uint32(m.sessionTimeoutMillis))
		value = appendBytes(value, m.subscription)
		value = appendBytes(value, m.assignment)
	}
	return coordinator.Record{Key: groupMetadataKeyBytes(group), Value: value}
}

func groupTombstone(group groupKey) coordinator.Record {
	return coordinator.Record{Key: groupMetadataKeyBytes(group)}
}
