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
// Kafka keeps the last batch of a producer only, and after a restart refuses an earlier one that is sent again as out of
// order: the producer then begins a new epoch and writes its unanswered batches twice. So what a State remembers follows,
// where Kafka does not look (its checksum covers it); a file of Kafka's ends before it:
//
//	entries, in the same order: count 1, then for each batch, the oldest first: last sequence 4, last offset 8,
//	   offset delta 4, timestamp 8
const (
	snapshotVersion   = 1
	snapshotCRCAt     = 2
	snapshotEntriesAt = 6
	snapshotHeader    = 10
	snapshotEntry     = 46
	snapshotBatch     = 24
)

// ErrCorruptSnapshot is wrapped by every error of DecodeSnapshot.
var ErrCorruptSnapshot = errors.New("corrupt producer snapshot")

// EncodeSnapshot returns the contents of a snapshot file.
func (t *Table) EncodeSnapshot() []byte {
	states := t.States()
	p := make([]byte, snapshotHeader, snapshotHeader+len(states)*(snapshotEntry+1+BatchesKept*snapshotBatch))
	binary.BigEndian.PutUint16(p, snapshotVersion)
	binary.BigEndian.PutUint32(p[snapshotEntriesAt:], uint32(len(states)))
	for _, s := range states {
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
	for _, s := range states {
		p = appendBatches(p, s.Batches())
	}
	binary.BigEndian.PutUint32(p[snapshotCRCAt:], snapshotCRC(p))
	return p
}

func appendBatches(p []byte, batches []Batch) []byte {
	p = append(p, byte(len(batches)))
	for _, b := range batches {
		p = binary.BigEndian.AppendUint32(p, uint32(b.LastSequence))
		p = binary.BigEndian.AppendUint64(p, uint64(b.LastOffset))
		p = binary.BigEndian.AppendUint32(p, uint32(b.OffsetDelta))
		p = binary.BigEndian.AppendUint64(p, uint64(b.TimestampMillis))
	}
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
	n, entries := binary.BigEndian.Uint32(p[snapshotEntriesAt:]), p[snapshotHeader:]
	if int64(n)*snapshotEntry > int64(len(entries)) {
		return nil, fmt.Errorf("%w: %d entries in %d bytes", ErrCorruptSnapshot, n, len(entries))
	}
	entries, batches := entries[:n*snapshotEntry], entries[n*snapshotEntry:]
	byKafka := len(batches) == 0
	t := &Table{}
	for ; len(entries) > 0; entries = entries[snapshotEntry:] {
		s := decodeEntry(entries)
		if !byKafka {
			var err error
			if batches, err = s.decodeBatches(batches); err != nil {
				return nil, err
			}
		}
		t.load(s)
	}
	if len(batches) > 0 {
		return nil, fmt.Errorf("%w: %d bytes too many", ErrCorruptSnapshot, len(batches))
	}
	return t, nil
}

// decodeBatches takes what was remembered from the front of p and returns the rest.
func (s *State) decodeBatches(p []byte) (rest []byte, err error) {
	if len(p) == 0 || p[0] > BatchesKept || len(p) < 1+int(p[0])*snapshotBatch {
		return nil, fmt.Errorf("%w: remembered batches of producer %d are cut", ErrCorruptSnapshot, s.ID)
	}
	last, known := s.batches[0], s.count > 0
	count := int(p[0])
	s.count = 0
	for p = p[1:]; int(s.count) < count; p = p[snapshotBatch:] {
		s.remember(Batch{
			LastSequence:    int32(binary.BigEndian.Uint32(p)),
			LastOffset:      int64(binary.BigEndian.Uint64(p[4:])),
			OffsetDelta:     int32(binary.BigEndian.Uint32(p[12:])),
			TimestampMillis: int64(binary.BigEndian.Uint64(p[16:])),
		})
	}
	if known != (count > 0) || known && (s.LastOffset() != last.LastOffset || s.LastSequence() != last.LastSequence) {
		return nil, fmt.Errorf("%w: remembered batches of producer %d do not end with its last one", ErrCorruptSnapshot, s.ID)
	}
	return p, nil
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
