package record

import "iter"

// DefaultMaxDecompressedBytes bounds what one batch may unpack to where the caller sets no bound. Kafka has none.
const DefaultMaxDecompressedBytes = 128 << 20

// Decompressor is how Records unpacks a batch. The zero value works; Codecs saves it from making decoders anew.
// It has no state of its own: goroutines may share one.
type Decompressor struct {
	Codecs   *Codecs // nil: none are kept
	MaxBytes int     // of one unpacked batch; 0 is DefaultMaxDecompressedBytes
}

// Records yields the records in order. The first error ends the iteration: *CorruptError says what is wrong with the
// bytes. Key, Value and Headers of a record point into the batch or into scratch that is used again: they are valid
// until the next step. d may be nil.
func (b Batch) Records(d *Decompressor) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if d == nil {
			d = &Decompressor{}
		}
		payload, scratch, err := d.Codecs.unpack(b, d.MaxBytes)
		if err != nil {
			yield(Record{}, err)
			return
		}
		defer d.Codecs.giveBuffer(scratch)
		b.iterate(payload, yield)
	}
}

func (b Batch) iterate(payload []byte, yield func(Record, error) bool) {
	var f fields
	var headers []Header
	base, count := b.BaseTimestamp(), b.Count()
	logAppendTime := b.Attributes().TimestampType() == LogAppendTime
	if count < 0 {
		yield(Record{}, invalid("Found invalid record count %d in magic v%d batch", count, b.Magic()))
		return
	}
	for range count {
		n, err := f.parse(payload)
		if err != nil {
			yield(Record{}, err)
			return
		}
		payload = payload[n:]
		headers = f.decodeHeaders(headers[:0])
		r := Record{Attributes: f.attributes, TimestampMillis: base + f.timestampDelta, OffsetDelta: f.offsetDelta,
			Key: f.key, Value: f.value, Headers: headers}
		if logAppendTime {
			r.TimestampMillis = b.MaxTimestamp()
		}
		if !yield(r, nil) {
			return
		}
	}
	if len(payload) != 0 {
		yield(Record{}, errRemaining())
	}
}

// unpack returns the records of b uncompressed, until the caller gives scratch back.
func (c *Codecs) unpack(b Batch, maxBytes int) (payload []byte, scratch *[]byte, err error) {
	if len(b) < HeaderSize {
		return nil, nil, corrupt("Record batch is corrupt (the size %d is smaller than the minimum allowed overhead %d)",
			len(b), HeaderSize)
	}
	if b.Attributes().Codec() == None {
		return b.Payload(), nil, nil
	}
	scratch = c.takeBuffer()
	if payload, err = c.unpackInto(scratch, b, maxBytes); err != nil {
		c.giveBuffer(scratch)
		return nil, nil, err
	}
	return payload, scratch, nil
}

// unpackInto unpacks a compressed batch. It leaves in scratch what that grew to, whatever comes of it.
func (c *Codecs) unpackInto(scratch *[]byte, b Batch, maxBytes int) (payload []byte, err error) {
	if maxBytes == 0 {
		maxBytes = DefaultMaxDecompressedBytes
	}
	payload, err = c.Decompress(b.Attributes().Codec(), (*scratch)[:0], b.Payload(), maxBytes)
	*scratch = payload[:0]
	return payload, err
}

func errRemaining() error {
	return invalid("Incorrect declared batch size, records still remaining in file")
}
