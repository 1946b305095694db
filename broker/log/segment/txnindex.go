package segment

import (
	"encoding/binary"
	"fmt"
)

const (
	abortedEntrySize = 34
	abortedVersion   = 0
)

// AbortedTxn is one entry of a .txnindex, in the segment that holds the transaction's end marker.
type AbortedTxn struct {
	ProducerID       int64
	FirstOffset      int64
	LastOffset       int64 // of the marker
	LastStableOffset int64 // when the marker was appended: nothing below is undecided
}

func encodeAborted(txns []AbortedTxn) []byte {
	p := make([]byte, 0, len(txns)*abortedEntrySize)
	for _, t := range txns {
		p = binary.BigEndian.AppendUint16(p, abortedVersion)
		p = binary.BigEndian.AppendUint64(p, uint64(t.ProducerID))
		p = binary.BigEndian.AppendUint64(p, uint64(t.FirstOffset))
		p = binary.BigEndian.AppendUint64(p, uint64(t.LastOffset))
		p = binary.BigEndian.AppendUint64(p, uint64(t.LastStableOffset))
	}
	return p
}

// decodeAborted reads a .txnindex file of the segment at baseOffset.
func decodeAborted(p []byte, baseOffset int64) ([]AbortedTxn, error) {
	if len(p)%abortedEntrySize != 0 {
		return nil, fmt.Errorf("%w: %d bytes are no multiple of %d", ErrCorruptIndex, len(p), abortedEntrySize)
	}
	txns := make([]AbortedTxn, 0, len(p)/abortedEntrySize)
	for ; len(p) > 0; p = p[abortedEntrySize:] {
		t := AbortedTxn{
			ProducerID:       int64(binary.BigEndian.Uint64(p[2:])),
			FirstOffset:      int64(binary.BigEndian.Uint64(p[10:])),
			LastOffset:       int64(binary.BigEndian.Uint64(p[18:])),
			LastStableOffset: int64(binary.BigEndian.Uint64(p[26:])),
		}
		if version := binary.BigEndian.Uint16(p); version != abortedVersion {
			return nil, fmt.Errorf("%w: entry %d has version %d", ErrCorruptIndex, len(txns), version)
		}
		if t.LastOffset < baseOffset || t.FirstOffset > t.LastOffset {
			return nil, fmt.Errorf("%w: entry %d lies outside the segment", ErrCorruptIndex, len(txns))
		}
		txns = append(txns, t)
	}
	return txns, nil
}
