package record

import (
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Validator decides what the broker takes. The zero value works; Codecs saves it from making decoders anew and may be
// shared by all validators. Not safe for concurrent use.
type Validator struct {
	Codecs *Codecs
	walk   walk // scratch of one Check
}

// Check refuses b or returns what to append: b itself, patched in place where the rules ask for it, or a new batch
// when it had to be compressed anew. Errors are *InvalidBatchError, in the order and with the codes of Kafka
// (UnifiedLog.analyzeAndValidateRecords, then LogValidator); DESIGN.md lists them with our deviations. Base offset
// and leader epoch stay for the log to set.
func (v *Validator) Check(b Batch, r *Rules, nowMillis int64) (Batch, error) {
	if err := checkEnvelope(b, r); err != nil {
		return nil, err
	}
	if !r.FromCoordinator {
		if err := checkClient(b, r); err != nil {
			return nil, err
		}
	}
	attributes := b.Attributes()
	if v.needsRecords(b, r, nowMillis) {
		return v.checkRecords(b, r, nowMillis)
	}
	if attributes.Codec() == None {
		if err := hop(b.Payload(), b.Count()); err != nil {
			return nil, refusal(err)
		}
	}
	b.settleTimestamps(r.TimestampType, b.MaxTimestamp(), nowMillis)
	return b, nil
}

// checkEnvelope is what Kafka checks of any append to a leader before it looks at the records.
func checkEnvelope(b Batch, r *Rules) error {
	if len(b) < HeaderSize || int(b.length())+logOverhead != len(b) {
		return refuse(kerr.CorruptMessage, "Record batch is corrupt (the size %d is smaller than the minimum allowed "+
			"overhead %d or not what its header says)", len(b), HeaderSize)
	}
	if magic := b.Magic(); magic != magicV2 {
		return refuse(kerr.CorruptMessage, "Invalid magic found in record: %d", magic)
	}
	if !r.FromCoordinator && b.BaseOffset() != 0 {
		return refuse(kerr.InvalidRecord, "The baseOffset of the record batch in the %s should be 0, but it is %d",
			r.appendTo(), b.BaseOffset())
	}
	if len(b) > r.MaxMessageBytes {
		return refuse(kerr.MessageTooLarge, "The record batch size in the %s is %d bytes which exceeds the maximum "+
			"configured value of %d.", r.appendTo(), len(b), r.MaxMessageBytes)
	}
	if b.computeCRC() != b.CRC() {
		return refuse(kerr.CorruptMessage, "Record is corrupt (stored crc = %d)%s.", b.CRC(), r.where())
	}
	switch codec := b.Attributes().Codec(); {
	case codec > Zstd:
		return refuse(kerr.UnsupportedCompressionType, "Unknown compression type id: %d", codec)
	case codec == Zstd && !r.ZstdAllowed && !r.FromCoordinator:
		return refuse(kerr.UnsupportedCompressionType, "Produce requests with version below 7 are not allowed to use "+
			"ZStandard compression")
	}
	return nil
}

// checkClient is LogValidator.validateBatch for what clients send.
func checkClient(b Batch, r *Rules) error {
	span := int64(b.LastOffsetDelta()) + 1
	count := int64(b.Count())
	switch {
	case span <= 0:
		return refuse(kerr.InvalidRecord, "Batch has an invalid offset range: [%d, %d]%s", b.BaseOffset(), b.LastOffset(),
			r.where())
	case count <= 0:
		return refuse(kerr.InvalidRecord, "Invalid reported count for record batch: %d%s", count, r.where())
	case span != count:
		return refuse(kerr.InvalidRecord, "Inconsistent batch offset range [%d, %d] and count of records %d%s",
			b.BaseOffset(), b.LastOffset(), count, r.where())
	case b.Attributes().IsControl():
		return refuse(kerr.InvalidRecord, "Clients are not allowed to write control records%s", r.where())
	case b.ProducerID() > NoProducerID && b.BaseSequence() < 0:
		return refuse(kerr.InvalidRecord, "Invalid sequence number %d in record batch with producerId %d%s",
			b.BaseSequence(), b.ProducerID(), r.where())
	}
	return nil
}

// needsRecords says whether a rule can be decided only by looking at each record. The header tells the latest
// timestamp, so the usual upper bound needs none; it does not tell the earliest, so a lower bound does.
func (v *Validator) needsRecords(b Batch, r *Rules, nowMillis int64) bool {
	attributes := b.Attributes()
	if r.EveryRecord || r.Compacted || r.recodes(attributes) {
		return true
	}
	byLogAppendTime := attributes.TimestampType() == LogAppendTime
	if r.TimestampType == LogAppendTime {
		return byLogAppendTime // refused, record by record
	}
	latest := b.MaxTimestamp()
	if latest == NoTimestamp {
		return byLogAppendTime || r.BeforeMaxMillis != math.MaxInt64
	}
	return r.outOfRange(latest, nowMillis) || (!byLogAppendTime && r.BeforeMaxMillis != math.MaxInt64)
}

// recodes says whether the batch must be compressed anew. Control batches are not compressed by us.
func (r *Rules) recodes(a Attributes) bool {
	return r.Compression.Recode && r.Compression.Codec != a.Codec() && !(a.Codec() == None && a.IsControl())
}

// outOfRange is LogValidator.recordHasInvalidTimestamp, overflow included.
func (r *Rules) outOfRange(timestampMillis, nowMillis int64) bool {
	age := nowMillis - timestampMillis
	return age > r.BeforeMaxMillis || -age > r.AfterMaxMillis
}

// settleTimestamps writes what the topic's timestamp type asks for. A batch that claims LogAppendTime on a topic of
// CreateTime loses the claim, as in Kafka.
func (b Batch) settleTimestamps(t TimestampType, maxTimestamp, nowMillis int64) {
	if t == LogAppendTime {
		b.SetLogAppendTime(nowMillis)
		return
	}
	b.setMaxTimestamp(CreateTime, maxTimestamp)
}
