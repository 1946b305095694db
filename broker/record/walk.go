package record

import (
	"github.com/twmb/franz-go/pkg/kerr"
)

// hop steps over the records by their lengths: count of them, and nothing behind.
func hop(p []byte, count int32) error {
	at := 0
	for range count {
		var size int32
		if at < len(p) && p[at] < 0x80 {
			size = int32(p[at]>>1) ^ -int32(p[at]&1)
			at++
		} else if at+1 < len(p) && p[at+1] < 0x80 {
			raw := uint32(p[at]&0x7f) | uint32(p[at+1])<<7
			size = int32(raw>>1) ^ -int32(raw&1)
			at += 2
		} else {
			var n int
			if size, n = varint(p[min(at, len(p)):]); n <= 0 {
				return invalid("Incorrect declared batch size, premature EOF reached")
			}
			at += n
		}
		if size < minRecordSize || int(size) > len(p)-at {
			return invalidRecordSize(int(size), len(p)-at)
		}
		at += int(size)
	}
	if at != len(p) {
		return errRemaining()
	}
	return nil
}

// walk is one pass over the records of a batch, checking each.
type walk struct {
	errors       recordErrors
	maxTimestamp int64
	inOrder      bool // offset deltas are 0, 1, 2...
}

// checkRecords is LogValidator's pass over every record, and the rewriting that may follow from it.
func (v *Validator) checkRecords(b Batch, r *Rules, nowMillis int64) (Batch, error) {
	u, err := v.Codecs.unpackInTurn(b, r.MaxDecompressedBytes)
	if err != nil {
		return nil, refusal(err)
	}
	defer u.done()
	payload := u.payload
	v.walk = walk{maxTimestamp: NoTimestamp, inOrder: true}
	if err := v.walk.run(b, payload, r, nowMillis); err != nil {
		return nil, refusal(err)
	}
	if err := v.walk.errors.err(); err != nil {
		return nil, err
	}
	// Kafka assigns the offsets of uncompressed batches without looking at their deltas, and rebuilds compressed ones.
	reorder := !v.walk.inOrder && b.Attributes().Codec() != None && !r.FromCoordinator
	if !reorder && !r.recodes(b.Attributes()) {
		b.settleTimestamps(r.TimestampType, v.walk.maxTimestamp, nowMillis)
		return b, nil
	}
	return v.rewrite(b, payload, r, nowMillis)
}

func (w *walk) run(b Batch, payload []byte, r *Rules, nowMillis int64) error {
	var f fields
	base, count := b.BaseTimestamp(), b.Count()
	byLogAppendTime := b.Attributes().TimestampType() == LogAppendTime
	if count < 0 {
		return invalid("Found invalid record count %d in magic v%d batch", count, b.Magic())
	}
	for index := range count {
		n, err := f.parse(payload)
		if err != nil {
			return err
		}
		payload = payload[n:]
		timestamp := base + f.timestampDelta
		if byLogAppendTime {
			timestamp = b.MaxTimestamp()
		}
		w.check(b, &f, index, timestamp, r, nowMillis)
		w.maxTimestamp = max(w.maxTimestamp, timestamp)
		w.inOrder = w.inOrder && f.offsetDelta == index
	}
	if len(payload) != 0 {
		return errRemaining()
	}
	return nil
}

// check is LogValidator.validateRecord: the key first, then the timestamp; one error a record.
func (w *walk) check(b Batch, f *fields, index int32, timestamp int64, r *Rules, nowMillis int64) {
	if r.Compacted && f.key == nil {
		w.errors.add(index, "Compacted topic cannot accept message without key%s", r.where())
		return
	}
	if r.TimestampType == CreateTime && timestamp != NoTimestamp {
		if r.outOfRange(timestamp, nowMillis) {
			w.errors.timestamp = true
			w.errors.add(index, "Timestamp %d of message with offset %d is out of range. The timestamp should be within "+
				"[%d, %d]", timestamp, b.BaseOffset()+int64(f.offsetDelta), nowMillis-r.BeforeMaxMillis,
				nowMillis+r.AfterMaxMillis)
		}
		return
	}
	if b.Attributes().TimestampType() == LogAppendTime {
		w.errors.timestamp = true
		w.errors.add(index, "Invalid timestamp type in message DefaultRecord(offset=%d, timestamp=%d, key=%d bytes, "+
			"value=%d bytes). Producer should not set timestamp type to LogAppendTime.",
			b.BaseOffset()+int64(f.offsetDelta), timestamp, len(f.key), len(f.value))
	}
}

// rewrite makes a new batch of the unpacked records, with the codec and the offset deltas that the rules ask for.
func (v *Validator) rewrite(b Batch, payload []byte, r *Rules, nowMillis int64) (Batch, error) {
	codec, level := b.Attributes().Codec(), 0
	if r.recodes(b.Attributes()) {
		codec, level = r.Compression.Codec, r.Compression.Level
	}
	if !v.walk.inOrder && !r.FromCoordinator {
		scratch := v.Codecs.takeBuffer()
		defer v.Codecs.giveBuffer(scratch)
		*scratch = renumber((*scratch)[:0], payload, b.Count())
		payload = *scratch
	}
	out := make(Batch, HeaderSize, HeaderSize+len(b))
	copy(out, b[:HeaderSize])
	packed, err := v.Codecs.Compress(codec, level, out, payload)
	if err != nil {
		return nil, refusal(err)
	}
	out = packed
	if len(out) > r.MaxMessageBytes {
		return nil, refuse(kerr.MessageTooLarge, "Message batch size is %d bytes in %s which exceeds the maximum "+
			"configured size of %d.", len(out), r.appendTo(), r.MaxMessageBytes)
	}
	out.setLength()
	out.setAttributes(b.Attributes()&keptAnew | Attributes(codec))
	out.writeCRC()
	out.settleTimestamps(r.TimestampType, v.walk.maxTimestamp, nowMillis)
	return out, nil
}

// renumber copies count records, which walk has checked, with the offset deltas 0, 1, 2...
func renumber(dst, payload []byte, count int32) []byte {
	var f fields
	var headers []Header
	for index := range count {
		n, err := f.parse(payload)
		if err != nil {
			panic("BUG: a record that was checked does not parse: " + err.Error())
		}
		payload = payload[n:]
		headers = f.decodeHeaders(headers[:0])
		dst = appendRecord(dst, f.timestampDelta, index, f.key, f.value, headers)
	}
	return dst
}
