package record

import "math"

// Record is one record of a batch.
type Record struct {
	Attributes      int8
	TimestampMillis int64
	OffsetDelta     int32  // to the batch's base offset
	Key, Value      []byte // nil is null
	Headers         []Header
}

// Header of a record. Keys may repeat.
type Header struct {
	Key   string
	Value []byte // nil is null
}

// minRecordSize is the body of a record with nothing in it: attributes, two deltas, null key, null value, no headers.
const minRecordSize = 6

// fields is a record as it lies in its batch. The slices point into the batch.
type fields struct {
	attributes     int8
	timestampDelta int64
	offsetDelta    int32
	key, value     []byte // nil is null
	headerCount    int32
	headers        []byte // checked, not decoded
}

// parse reads the record at the start of p and returns how many bytes it takes. It checks the whole structure,
// headers too, so that what it accepts every client can read. Messages are Kafka's (DefaultRecord.readFrom).
func (f *fields) parse(p []byte) (n int, err error) {
	size, n := varint(p)
	if n <= 0 {
		return 0, invalid("Incorrect declared batch size, premature EOF reached")
	}
	if size < minRecordSize || int(size) > len(p)-n {
		return 0, invalidRecordSize(int(size), len(p)-n)
	}
	body := p[n : n+int(size)]
	n += int(size)

	f.attributes = int8(body[0])
	at := 1
	var used int
	if f.timestampDelta, used = varlong(body[at:]); used <= 0 {
		return 0, errStructure()
	}
	at += used
	if f.offsetDelta, used = varint(body[at:]); used <= 0 {
		return 0, errStructure()
	}
	at += used
	if f.key, used = nullableBytes(body[at:]); used <= 0 {
		return 0, errStructure()
	}
	at += used
	if f.value, used = nullableBytes(body[at:]); used <= 0 {
		return 0, errStructure()
	}
	at += used
	if f.headerCount, used = varint(body[at:]); used <= 0 {
		return 0, errStructure()
	}
	f.headers = body[at+used:]
	return n, f.checkHeaders()
}

func (f *fields) checkHeaders() error {
	rest := f.headers
	if f.headerCount < 0 {
		return invalid("Found invalid number of record headers %d", f.headerCount)
	}
	if int(f.headerCount) > len(rest) {
		return invalid("Found invalid number of record headers. %d is larger than the remaining size of the buffer",
			f.headerCount)
	}
	for range f.headerCount {
		key, used := nullableBytes(rest)
		if used <= 0 {
			return errStructure()
		}
		if key == nil {
			return invalid("Invalid negative header key size")
		}
		rest = rest[used:]
		if _, used = nullableBytes(rest); used <= 0 {
			return errStructure()
		}
		rest = rest[used:]
	}
	if len(rest) != 0 {
		return invalid("Invalid record size: %d bytes follow the last header", len(rest))
	}
	return nil
}

// decodeHeaders appends the headers, which parse has checked.
func (f *fields) decodeHeaders(dst []Header) []Header {
	rest := f.headers
	for range f.headerCount {
		key, used := nullableBytes(rest)
		rest = rest[used:]
		value, used := nullableBytes(rest)
		rest = rest[used:]
		dst = append(dst, Header{Key: string(key), Value: value})
	}
	return dst
}

// nullableBytes reads bytes behind their length; a negative length is null. used is not positive when p is too short.
func nullableBytes(p []byte) (value []byte, used int) {
	size, n := varint(p)
	switch {
	case n <= 0:
		return nil, n
	case size < 0:
		return nil, n
	case int(size) > len(p)-n:
		return nil, 0
	}
	end := n + int(size)
	return p[n:end:end], end
}

// appendRecord encodes a record whose deltas the caller computed.
func appendRecord(dst []byte, timestampDelta int64, offsetDelta int32, key, value []byte, headers []Header) []byte {
	dst = appendVarint(dst, int32(bodySize(timestampDelta, offsetDelta, key, value, headers)))
	dst = append(dst, 0) // attributes: none are defined
	dst = appendVarlong(dst, timestampDelta)
	dst = appendVarint(dst, offsetDelta)
	dst = appendNullable(dst, key)
	dst = appendNullable(dst, value)
	dst = appendVarint(dst, int32(len(headers)))
	for i := range headers {
		dst = appendVarint(dst, int32(len(headers[i].Key)))
		dst = append(dst, headers[i].Key...)
		dst = appendNullable(dst, headers[i].Value)
	}
	return dst
}

func appendNullable(dst, value []byte) []byte {
	if value == nil {
		return append(dst, 1) // -1, zigzag
	}
	return append(appendVarint(dst, int32(len(value))), value...)
}

func bodySize(timestampDelta int64, offsetDelta int32, key, value []byte, headers []Header) int {
	size := 1 + varlongSize(timestampDelta) + varintSize(offsetDelta) + nullableSize(key) + nullableSize(value) +
		varintSize(int32(len(headers)))
	for i := range headers {
		size += varintSize(int32(len(headers[i].Key))) + len(headers[i].Key) + nullableSize(headers[i].Value)
	}
	return size
}

func nullableSize(value []byte) int {
	if value == nil {
		return 1
	}
	return varintSize(int32(min(len(value), math.MaxInt32))) + len(value)
}

func errStructure() error { return invalid("Found invalid record structure") }

func invalidRecordSize(size, remaining int) error {
	return invalid("Invalid record size: expected %d bytes in record payload, but instead the buffer has only %d "+
		"remaining bytes.", size, remaining)
}
