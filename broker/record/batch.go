package record

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// HeaderSize is the size of a batch before its records.
const HeaderSize = 61

// Offsets of the header's fields; DESIGN.md has the table.
const (
	baseOffsetAt           = 0
	batchLengthAt          = 8
	partitionLeaderEpochAt = 12
	magicAt                = 16
	crcAt                  = 17
	attributesAt           = 21
	lastOffsetDeltaAt      = 23
	baseTimestampAt        = 27
	maxTimestampAt         = 35
	producerIDAt           = 43
	producerEpochAt        = 51
	baseSequenceAt         = 53
	countAt                = 57

	// logOverhead is what the batch length does not count: base offset and the length itself.
	logOverhead = 12
	magicV2     = 2
)

// What the header says when there is none.
const (
	NoTimestamp     int64 = -1
	NoProducerID    int64 = -1
	NoProducerEpoch int16 = -1
	NoSequence      int32 = -1
	NoLeaderEpoch   int32 = -1
)

// Batch is exactly one record batch, header included. Accessors read in place and need a batch that Split or a
// Builder returned.
type Batch []byte

func (b Batch) BaseOffset() int64 { return int64(binary.BigEndian.Uint64(b[baseOffsetAt:])) }
func (b Batch) LastOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) }
func (b Batch) NextOffset() int64 { return b.LastOffset() + 1 }
func (b Batch) PartitionLeaderEpoch() int32 {
	return int32(binary.BigEndian.Uint32(b[partitionLeaderEpochAt:]))
}
func (b Batch) Magic() int8            { return int8(b[magicAt]) }
func (b Batch) CRC() uint32            { return binary.BigEndian.Uint32(b[crcAt:]) }
func (b Batch) Attributes() Attributes { return Attributes(binary.BigEndian.Uint16(b[attributesAt:])) }
func (b Batch) LastOffsetDelta() int32 { return int32(binary.BigEndian.Uint32(b[lastOffsetDeltaAt:])) }
func (b Batch) BaseTimestamp() int64   { return int64(binary.BigEndian.Uint64(b[baseTimestampAt:])) }
func (b Batch) MaxTimestamp() int64    { return int64(binary.BigEndian.Uint64(b[maxTimestampAt:])) }
func (b Batch) ProducerID() int64      { return int64(binary.BigEndian.Uint64(b[producerIDAt:])) }
func (b Batch) ProducerEpoch() int16   { return int16(binary.BigEndian.Uint16(b[producerEpochAt:])) }
func (b Batch) BaseSequence() int32    { return int32(binary.BigEndian.Uint32(b[baseSequenceAt:])) }

// LastSequence is the sequence of the last record; it wraps from 2^31-1 to 0. NoSequence stays NoSequence.
func (b Batch) LastSequence() int32 {
	base := b.BaseSequence()
	if base == NoSequence {
		return NoSequence
	}
	return IncrementSequence(base, b.LastOffsetDelta())
}

// Count is the number of records the header declares.
func (b Batch) Count() int32 { return int32(binary.BigEndian.Uint32(b[countAt:])) }

// Payload is the records, compressed as the attributes say.
func (b Batch) Payload() []byte { return b[HeaderSize:] }

// SetBaseOffset is outside the CRC.
func (b Batch) SetBaseOffset(offset int64) {
	binary.BigEndian.PutUint64(b[baseOffsetAt:], uint64(offset))
}

// SetPartitionLeaderEpoch is outside the CRC.
func (b Batch) SetPartitionLeaderEpoch(epoch int32) {
	binary.BigEndian.PutUint32(b[partitionLeaderEpochAt:], uint32(epoch))
}

// SetLogAppendTime gives every record of the batch one timestamp and rewrites the CRC.
func (b Batch) SetLogAppendTime(millis int64) { b.setMaxTimestamp(LogAppendTime, millis) }

func (b Batch) setMaxTimestamp(t TimestampType, millis int64) {
	attributes := b.Attributes()
	if attributes.TimestampType() == t && b.MaxTimestamp() == millis {
		return
	}
	b.setAttributes(attributes&keptInPlace&^timestampTypeBit | Attributes(t)<<3)
	binary.BigEndian.PutUint64(b[maxTimestampAt:], uint64(millis))
	b.writeCRC()
}

func (b Batch) setAttributes(a Attributes) { binary.BigEndian.PutUint16(b[attributesAt:], uint16(a)) }

// length is the header's word on the bytes behind the length field.
func (b Batch) length() int32 { return int32(binary.BigEndian.Uint32(b[batchLengthAt:])) }

func (b Batch) setLength() {
	binary.BigEndian.PutUint32(b[batchLengthAt:], uint32(len(b)-logOverhead))
}

func (b Batch) writeCRC() { binary.BigEndian.PutUint32(b[crcAt:], b.computeCRC()) }

// VerifyCRC returns a *CorruptError when the bytes from the attributes on are not what was written.
func (b Batch) VerifyCRC() error {
	if computed := b.computeCRC(); computed != b.CRC() {
		return corrupt("Record is corrupt (stored crc = %d, computed crc = %d)", b.CRC(), computed)
	}
	return nil
}

func (b Batch) computeCRC() uint32 { return crc32.Checksum(b[attributesAt:], castagnoli()) }

// castagnoli returns the standard library's own table, which it makes once: there is nothing to keep here.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// IncrementSequence adds increment to a producer's sequence, which wraps from 2^31-1 to 0.
func IncrementSequence(sequence, increment int32) int32 {
	if sequence > math.MaxInt32-increment {
		return increment - (math.MaxInt32 - sequence) - 1
	}
	return sequence + increment
}

// DecrementSequence takes decrement from a producer's sequence, which wraps from 0 to 2^31-1.
func DecrementSequence(sequence, decrement int32) int32 {
	if sequence < decrement {
		return math.MaxInt32 - (decrement - sequence) + 1
	}
	return sequence - decrement
}
