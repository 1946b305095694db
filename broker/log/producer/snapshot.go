package producer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A snapshot is Kafka's ProducerSnapshot, version 1, big endian:
//
//	0  int16   version
//	2  uint32  CRC-32C of everything after it
//	6  int32   number of entries
//	10 entries of 46 bytes: producer id 8, epoch 2, last sequence 4, last offset 8, offset delta 4, timestamp 8,
//	   coordinator epoch 4, first offset of the open transaction 8
//
// Only the last batch of a producer is kept.
const (
	snapshotVersion   = 1
	snapshotCRCAt     = 2
	snapshotEntriesAt = 6
	snapshotHeader    = 10
	snapshotEntry     = 46
)

// ErrCorruptSnapshot is wrapped by every error of DecodeSnapshot.
var ErrCorruptSnapshot = errors.New("corrupt producer snapshot")

// EncodeSnapshot returns the contents of a snapshot file.
func (t *Table) EncodeSnapshot() []byte {
	p := make([]byte, snapshotHeader, snapshotHeader+len(t.states)*snapshotEntry)
	binary.BigEndian.PutUint16(p, snapshotVersion)
	binary.BigEndian.PutUint32(p[snapshotEntriesAt:], uint32(len(t.states)))
	for _, s := range t.States() {
		var delta int32
		if s.count > 0 {
			delta = s.batches[s.count-1].OffsetDelta
		}
		p = binary.BigEndian.AppendUint64(p, uint64(s.ID))
		p = binary.BigEndian.AppendUint16(p, uint16(s.Epoch))
		p = binary.BigEndian.AppendUint32(p, uint32(s.LastSequence()))
		p = binary.BigEndian.AppendUint64(p, uint64(s.LastOffset()))
		p = binary.BigEndian.AppendUint32(p, uint32(delta))
		p = binary.BigEndian.AppendUint64(p, uint64(s.LastTimestampMillis))
		p = binary.BigEndian.AppendUint32(p, uint32(s.CoordinatorEpoch))
		p = binary.BigEndian.AppendUint64(p, uint64(s.TxnFirstOffset))
	}
	binary.BigEndian.PutUint32(p[snapshotCRCAt:], snapshotCRC(p))
	return p
}

func snapshotCRC(p []byte) uint32 {
	return crc32.Checksum(p[snapshotEntriesAt:], crc32.MakeTable(crc32.Castagnoli))
}

// DecodeSnapshot reads a snapshot file.
func DecodeSnapshot(p []byte) (*Table, error) {
	if len(p) < snapshotHeader {
		return nil, fmt.Errorf("%w: %d bytes", ErrCorruptSnapshot, len(p))
	}
	if version := binary.BigEndian.Uint16(p); version != snapshotVersion {
		return nil, fmt.Errorf("%w: unknown file version %d", ErrCorruptSnapshot, version)
	}
	if stored, computed := binary.BigEndian.Uint32(p[snapshotCRCAt:]), snapshotCRC(p); stored != computed {
		return nil, fmt.Errorf("%w: stored crc %d, computed crc %d", ErrCorruptSnapshot, stored, computed)
	}
	entries := p[snapshotHeader:]
	if n := binary.BigEndian.Uint32(p[snapshotEntriesAt:]); int64(n)*snapshotEntry != int64(len(entries)) {
		return nil, fmt.Errorf("%w: %d entries in %d bytes", ErrCorruptSnapshot, n, len(entries))
	}
	t := &Table{}
	for ; len(entries) > 0; entries = entries[snapshotEntry:] {
		t.load(decodeEntry(entries))
	}
	return t, nil
}

func decodeEntry(p []byte) State {
	s := newState(int64(binary.BigEndian.Uint64(p)))
	s.Epoch = int16(binary.BigEndian.Uint16(p[8:]))
	batch := Batch{
		LastSequence: int32(binary.BigEndian.Uint32(p[10:])),
		LastOffset:   int64(binary.BigEndian.Uint64(p[14:])),
		OffsetDelta:  int32(binary.BigEndian.Uint32(p[22:])),
	}
	s.LastTimestampMillis = int64(binary.BigEndian.Uint64(p[26:]))
	s.CoordinatorEpoch = int32(binary.BigEndian.Uint32(p[34:]))
	if first := int64(binary.BigEndian.Uint64(p[38:])); first >= 0 {
		s.TxnFirstOffset = first
	}
	batch.TimestampMillis = s.LastTimestampMillis
	if batch.LastOffset >= 0 {
		s.remember(batch)
	}
	return s
}

func (t *Table) load(s State) {
	if old := t.states[s.ID]; old != nil && old.TxnFirstOffset != None {
		t.closeOpen(old.TxnFirstOffset)
	}
	*t.add(s.ID) = s
	if s.TxnFirstOffset != None {
		t.open(openTxn{firstOffset: s.TxnFirstOffset, producerID: s.ID})
	}
}
