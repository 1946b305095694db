package state

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/millrace-io/millrace/broker/coordinator"
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

var errTruncated = errors.New("ends inside a field")

// reader walks the fields of a record. After the first fault every read returns zero.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) take(n int) []byte {
	if r.failed || n < 0 || n > len(r.rest) {
		r.failed, r.rest = true, nil
		return nil
	}
	p := r.rest[:n]
	r.rest = r.rest[n:]
	return p
}

func (r *reader) uint(n int) (v uint64) {
	for _, b := range r.take(n) {
		v = v<<8 | uint64(b)
	}
	return v
}

func (r *reader) uvarint() int {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > 1<<31-1 {
		r.failed, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return int(v)
}

// batches reads the end of a value.
func (r *reader) batches() (batches []delivery.Batch, through int32) {
	n := r.uvarint() - 1
	if n > len(r.rest)/batchBytes {
		r.failed = true
	}
	for ; n > 0 && !r.failed; n-- {
		b := delivery.Batch{First: int64(r.uint(8)), Last: int64(r.uint(8)), State: delivery.State(r.uint(1)), Count: int16(r.uint(2))}
		r.tags(nil)
		batches = append(batches, b)
	}
	through = -1
	r.tags(func(tag int, value []byte) {
		if tag == 0 && len(value) == 4 {
			through = int32(binary.BigEndian.Uint32(value))
		}
	})
	return batches, through
}

func (r *reader) tags(each func(tag int, value []byte)) {
	for n := r.uvarint(); n > 0 && !r.failed; n-- {
		tag := r.uvarint()
		value := r.take(r.uvarint())
		if each != nil && !r.failed {
			each(tag, value)
		}
	}
}

func (r *reader) done(what string) error {
	if r.failed {
		return fmt.Errorf("%s: %w", what, errTruncated)
	}
	return nil
}

// parseKey reads a key; known is false for the types of newer versions.
func parseKey(key []byte) (kind uint16, k Key, known bool, err error) {
	r := reader{rest: key}
	kind = uint16(r.uint(2))
	if r.failed || kind > updateKey {
		return kind, k, false, r.done("key")
	}
	k.Group = string(r.take(int(r.uint(2))))
	copy(k.Topic[:], r.take(16))
	k.Partition = int32(r.uint(4))
	return kind, k, true, r.done("key")
}

func versioned(value []byte, what string) (*reader, error) {
	r := &reader{rest: value}
	if version := r.uint(2); r.failed || version != valueVersion {
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
	s := &partitionState{snapshotEpoch: int32(r.uint(4)), stateEpoch: int32(r.uint(4)), leaderEpoch: int32(r.uint(4)),
		start: int64(r.uint(8)), createdMillis: int64(r.uint(8)), writtenMillis: int64(r.uint(8))}
	batches, through := r.batches()
	s.batches, s.through = combine(nil, batches, s.start), through
	return s, r.done(what)
}

func parseUpdate(value []byte) (update, error) {
	const what = "ShareUpdateValue"
	r, err := versioned(value, what)
	if err != nil {
		return update{}, err
	}
	u := update{snapshotEpoch: int32(r.uint(4)), leaderEpoch: int32(r.uint(4)), start: int64(r.uint(8))}
	u.batches, u.through = r.batches()
	return u, r.done(what)
}
