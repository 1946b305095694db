package record

import "encoding/binary"

// Remains is what compaction leaves of a batch.
type Remains struct {
	Records            []byte // as they lay in the batch, uncompressed
	Count              int32
	MaxTimestampMillis int64 // of the records; of no account when there are none or the batch has LogAppendTime
	// HasDeleteHorizon says that the batch, which has no horizon yet, gets the one of DeleteHorizonMillis.
	HasDeleteHorizon    bool
	DeleteHorizonMillis int64
}

// AppendRemains appends a batch with the header of b and the records of r, packed with the codec of b. Offsets, producer
// and sequences stay those of b: a producer's last sequence outlives its records (MemoryRecords.filterTo in Kafka).
func (c *Codecs) AppendRemains(dst []byte, b Batch, r Remains) ([]byte, error) {
	at, attributes, baseTimestamp := len(dst), b.Attributes(), b.BaseTimestamp()
	records := r.Records
	switch {
	case r.Count == 0: // DefaultRecordBatch.writeEmptyHeader
		attributes &^= codecMask | deleteHorizonBit
		records, baseTimestamp = nil, NoTimestamp
	case r.HasDeleteHorizon:
		scratch := c.takeBuffer()
		defer c.giveBuffer(scratch)
		var err error
		if *scratch, err = rebase((*scratch)[:0], records, r.Count, baseTimestamp-r.DeleteHorizonMillis); err != nil {
			return dst, err
		}
		records, baseTimestamp = *scratch, r.DeleteHorizonMillis
		attributes |= deleteHorizonBit
	}
	out, err := c.Compress(attributes.Codec(), 0, append(dst, b[:HeaderSize]...), records)
	if err != nil {
		return dst, err
	}
	left := Batch(out[at:])
	left.setLength()
	left.setAttributes(attributes)
	binary.BigEndian.PutUint64(left[baseTimestampAt:], uint64(baseTimestamp))
	if r.Count > 0 && attributes.TimestampType() == CreateTime {
		binary.BigEndian.PutUint64(left[maxTimestampAt:], uint64(r.MaxTimestampMillis))
	}
	binary.BigEndian.PutUint32(left[countAt:], uint32(r.Count))
	left.writeCRC()
	return out, nil
}

// rebase copies records with another base timestamp: shift is the old one less the new one.
func rebase(dst, records []byte, count int32, shift int64) ([]byte, error) {
	for range count {
		size, n := varint(records)
		if n <= 0 || size < minRecordSize || int(size) > len(records)-n {
			return dst, errStructure()
		}
		body := records[n : n+int(size)]
		records = records[n+int(size):]
		delta, used := varlong(body[1:])
		if used <= 0 {
			return dst, errStructure()
		}
		delta += shift
		dst = appendVarint(dst, size-int32(used)+int32(varlongSize(delta)))
		dst = append(dst, body[0])
		dst = appendVarlong(dst, delta)
		dst = append(dst, body[1+used:]...)
	}
	return dst, nil
}
