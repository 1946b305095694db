package record

import (
	"encoding/binary"
	"errors"
	"math"
)

// BuilderOptions is the header of a batch under construction. The zero value is an uncompressed batch at offset 0 of a
// producer without id.
type BuilderOptions struct {
	Codec                Codec
	Level                int // in Kafka's scale for the codec; 0 is its default
	BaseOffset           int64
	PartitionLeaderEpoch int32
	TimestampType        TimestampType
	// HasProducer says that ProducerID, ProducerEpoch and BaseSequence are set; else the header says there is none.
	HasProducer   bool
	ProducerID    int64
	ProducerEpoch int16
	BaseSequence  int32
	Transactional bool
	Control       bool
	// HasDeleteHorizon says that DeleteHorizonMillis is set: when compaction may drop the batch's tombstones.
	HasDeleteHorizon    bool
	DeleteHorizonMillis int64
	Codecs              *Codecs // nil: encoders are not kept
}

// Builder makes one batch. Not safe for concurrent use. After Build, Reset makes it ready for the next one.
type Builder struct {
	opts          BuilderOptions
	payload       []byte
	count         int32
	baseTimestamp int64
	maxTimestamp  int64
	nextDelta     int64 // offset delta of the next record
	lastDelta     int64 // -1 before the first record
	err           error
}

// NewBuilder starts a batch.
func NewBuilder(opts BuilderOptions) *Builder {
	b := &Builder{}
	b.Reset(opts)
	return b
}

// Reset starts another batch with the memory of this one. What Build returned stays as it is.
func (b *Builder) Reset(opts BuilderOptions) {
	*b = Builder{opts: opts, payload: b.payload[:0], baseTimestamp: NoTimestamp, maxTimestamp: NoTimestamp, lastDelta: -1}
	if opts.HasDeleteHorizon {
		b.baseTimestamp = opts.DeleteHorizonMillis
	}
}

// Append adds a record whose offset follows the last one's. A nil key or value is null. It copies what it is given.
func (b *Builder) Append(timestampMillis int64, key, value []byte, headers []Header) {
	b.add(b.nextDelta, timestampMillis, key, value, headers)
}

// AppendAt adds a record at an offset of its own, beyond the last one's: compaction leaves holes.
func (b *Builder) AppendAt(offset int64, timestampMillis int64, key, value []byte, headers []Header) {
	delta := offset - b.opts.BaseOffset
	if delta < b.nextDelta || delta > math.MaxInt32 {
		b.err = errors.New("append record: offset out of order or too far from the base offset")
		return
	}
	b.add(delta, timestampMillis, key, value, headers)
}

func (b *Builder) add(delta, timestampMillis int64, key, value []byte, headers []Header) {
	if delta > math.MaxInt32 {
		b.err = errors.New("append record: too many records for one batch")
		return
	}
	if b.count == 0 && !b.opts.HasDeleteHorizon {
		b.baseTimestamp = timestampMillis
	}
	b.payload = appendRecord(b.payload, timestampMillis-b.baseTimestamp, int32(delta), key, value, headers)
	b.maxTimestamp = max(b.maxTimestamp, timestampMillis)
	b.count++
	b.lastDelta, b.nextDelta = delta, delta+1
}

// SetLastOffset makes the batch end at offset although its last record lies before it, or although it has no record:
// compaction keeps the offsets and the last sequence of what it emptied.
func (b *Builder) SetLastOffset(offset int64) {
	delta := offset - b.opts.BaseOffset
	if delta < b.lastDelta || delta < 0 || delta > math.MaxInt32 {
		b.err = errors.New("set last offset: before the last record or too far from the base offset")
		return
	}
	b.lastDelta, b.nextDelta = delta, delta+1
}

// SetMaxTimestamp is for batches of LogAppendTime and for those that compaction emptied.
func (b *Builder) SetMaxTimestamp(millis int64) { b.maxTimestamp = millis }

// SizeBytes is what the batch takes without compression.
func (b *Builder) SizeBytes() int { return HeaderSize + len(b.payload) }

// Count is the number of records appended.
func (b *Builder) Count() int { return int(b.count) }

// Build returns the batch in memory of its own.
func (b *Builder) Build() (Batch, error) {
	switch {
	case b.err != nil:
		return nil, b.err
	case b.lastDelta < 0:
		return nil, errors.New("build batch: no records")
	case len(b.payload) > math.MaxInt32-HeaderSize:
		return nil, errors.New("build batch: larger than 2 GiB")
	}
	codec := b.opts.Codec
	if b.count == 0 {
		codec = None
	}
	room := HeaderSize
	if codec == None {
		room += len(b.payload)
	}
	out, err := b.opts.Codecs.Compress(codec, b.opts.Level, make([]byte, HeaderSize, room), b.payload)
	if err != nil {
		return nil, err
	}
	batch := Batch(out)
	b.writeHeader(batch, codec)
	return batch, nil
}

func (b *Builder) writeHeader(batch Batch, codec Codec) {
	producerID, producerEpoch, baseSequence := NoProducerID, NoProducerEpoch, NoSequence
	if b.opts.HasProducer {
		producerID, producerEpoch, baseSequence = b.opts.ProducerID, b.opts.ProducerEpoch, b.opts.BaseSequence
	}
	batch.SetBaseOffset(b.opts.BaseOffset)
	batch.setLength()
	batch.SetPartitionLeaderEpoch(b.opts.PartitionLeaderEpoch)
	batch[magicAt] = magicV2
	batch.setAttributes(b.attributes(codec))
	binary.BigEndian.PutUint32(batch[lastOffsetDeltaAt:], uint32(b.lastDelta))
	binary.BigEndian.PutUint64(batch[baseTimestampAt:], uint64(b.baseTimestamp))
	binary.BigEndian.PutUint64(batch[maxTimestampAt:], uint64(b.maxTimestamp))
	binary.BigEndian.PutUint64(batch[producerIDAt:], uint64(producerID))
	binary.BigEndian.PutUint16(batch[producerEpochAt:], uint16(producerEpoch))
	binary.BigEndian.PutUint32(batch[baseSequenceAt:], uint32(baseSequence))
	binary.BigEndian.PutUint32(batch[countAt:], uint32(b.count))
	batch.writeCRC()
}

func (b *Builder) attributes(codec Codec) Attributes {
	a := Attributes(codec) | Attributes(b.opts.TimestampType)<<3
	if b.opts.Transactional {
		a |= transactionalBit
	}
	if b.opts.Control {
		a |= controlBit
	}
	if b.opts.HasDeleteHorizon {
		a |= deleteHorizonBit
	}
	return a
}
