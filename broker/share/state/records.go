package state

import (
	"encoding/binary"
	"fmt"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/coordinator/fields"
	"github.com/millrace-io/millrace/broker/share/delivery"
)

// Record types of __share_group_state: the first two bytes of a key. DESIGN.md has the layouts.
const (
	snapshotKey = 0
	updateKey   = 1

	valueVersion = 0
	batchBytes   = 8 + 8 + 1 + 2 + 1 // of a state batch, with its tags
)

// partitionState is what is known of a share partition. Immutable: Replay replaces it.
type partitionState struct {
	snapshotEpoch, stateEpoch, leaderEpoch int32
	start                                  int64 // -1: nobody has decided yet where to begin
	through                                int32 // offsets from start on that are through; -1: unknown
	createdMillis, writtenMillis           int64
	batches                                []delivery.Batch // in order, without overlap
	updates                                int              // since the last snapshot
}

// update is what one write changes.
type update struct {
	snapshotEpoch, leaderEpoch int32
	start                      int64 // -1: as it was
	through                    int32
	batches                    []delivery.Batch
}

// apply is the state after an update.
func (s *partitionState) apply(u update) *partitionState {
	next := *s
	next.leaderEpoch = max(s.leaderEpoch, u.leaderEpoch)
	if u.start >= 0 {
		next.start = u.start
	}
	next.through = u.through
	next.batches = combine(s.batches, u.batches, next.start)
	next.updates++
	return &next
}

func keyBytes(kind uint16, k Key) []byte {
	b := binary.BigEndian.AppendUint16(nil, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(k.Group)))
	b = append(b, k.Group...)
	b = append(b, k.Topic[:]...)
	return binary.BigEndian.AppendUint32(b, uint32(k.Partition))
}

func snapshotRecord(k Key, s *partitionState) coordinator.Record {
	v := binary.BigEndian.AppendUint16(nil, valueVersion)
	v = binary.BigEndian.AppendUint32(v, uint32(s.snapshotEpoch))
	v = binary.BigEndian.AppendUint32(v, uint32(s.stateEpoch))
	v = binary.BigEndian.AppendUint32(v, uint32(s.leaderEpoch))
	v = binary.BigEndian.AppendUint64(v, uint64(s.start))
	v = binary.BigEndian.AppendUint64(v, uint64(s.createdMillis))
	v = binary.BigEndian.AppendUint64(v, uint64(s.writtenMillis))
	return coordinator.Record{Key: keyBytes(snapshotKey, k), Value: appendBatches(v, s.batches, s.through)}
}

func updateRecord(k Key, u update) coordinator.Record {
	v := binary.BigEndian.AppendUint16(nil, valueVersion)
	v = binary.BigEndian.AppendUint32(v, uint32(u.snapshotEpoch))
	v = binary.BigEndian.AppendUint32(v, uint32(u.leaderEpoch))
	v = binary.BigEndian.AppendUint64(v, uint64(u.start))
	return coordinator.Record{Key: keyBytes(updateKey, k), Value: appendBatches(v, u.batches, u.through)}
}

func tombstone(k Key) coordinator.Record { return coordinator.Record{Key: keyBytes(snapshotKey, k)} }

// appendBatches ends a value: the batches, and as tag 0 how many offsets are through, if that is known.
func appendBatches(v []byte, batches []delivery.Batch, through int32) []byte {
	v = binary.AppendUvarint(v, uint64(len(batches)+1))
	for _, b := range batches {
		v = binary.BigEndian.AppendUint64(v, uint64(b.First))
		v = binary.BigEndian.AppendUint64(v, uint64(b.Last))
		v = append(v, byte(b.State))
		v = binary.BigEndian.AppendUint16(v, uint16(b.Count))
		v = append(v, 0)
	}
	if through < 0 {
		return append(v, 0)
	}
	v = append(v, 1, 0, 4)
	return binary.BigEndian.AppendUint32(v, uint32(through))
}

// readBatches reads the end of a value.
func readBatches(r *fields.Reader) (batches []delivery.Batch, through int32) {
	for n := r.Count(batchBytes); n > 0 && r.Err == nil; n-- {
		b := delivery.Batch{First: r.Int64(), Last: r.Int64(), State: delivery.State(r.Int8()), Count: r.Int16()}
		r.Tags(nil)
		batches = append(batches, b)
	}
	through = -1
	r.Tags(func(tag int, field *fields.Reader) {
		if tag == 0 && len(field.Rest) == 4 {
			through = field.Int32()
		}
	})
	return batches, through
}

// parseKey reads a key; known is false for the types of newer versions.
func parseKey(key []byte) (kind uint16, k Key, known bool, err error) {
	r := fields.Reader{Rest: key}
	kind = uint16(r.Int16())
	if r.Err != nil || kind > updateKey {
		return kind, k, false, r.Done("key")
	}
	k.Group = r.Text()
	copy(k.Topic[:], r.Take(len(k.Topic)))
	k.Partition = r.Int32()
	return kind, k, true, r.Done("key")
}

func versioned(value []byte, what string) (*fields.Reader, error) {
	r := &fields.Reader{Rest: value, Flexible: true}
	if version := r.Int16(); r.Err != nil || version != valueVersion {
		return nil, fmt.Errorf("%s: version %d is not known", what, version)
	}
	return r, nil
}

func parseSnapshot(value []byte) (*partitionState, error) {
	const what = "ShareSnapshotValue"
	r, err := versioned(value, what)
	if err != nil {
		return nil, err
	}
	s := &partitionState{snapshotEpoch: r.Int32(), stateEpoch: r.Int32(), leaderEpoch: r.Int32(),
		start: r.Int64(), createdMillis: r.Int64(), writtenMillis: r.Int64()}
	batches, through := readBatches(r)
	s.batches, s.through = combine(nil, batches, s.start), through
	return s, r.Done(what)
}

func parseUpdate(value []byte) (update, error) {
	const what = "ShareUpdateValue"
	r, err := versioned(value, what)
	if err != nil {
		return update{}, err
	}
	u := update{snapshotEpoch: r.Int32(), leaderEpoch: r.Int32(), start: r.Int64()}
	u.batches, u.through = readBatches(r)
	return u, r.Done(what)
}
