package txn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// errTruncated is a record that ends before its fields do.
var errTruncated = errors.New("ends inside a field")

// reader walks the fields of a record. After the first fault every read returns zero values; err tells which it was.
type reader struct {
	rest     []byte
	flexible bool
	err      error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err, r.rest = err, nil
	}
}

func (r *reader) take(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.rest) {
		r.fail(errTruncated)
		return nil
	}
	p := r.rest[:n]
	r.rest = r.rest[n:]
	return p
}

func (r *reader) int8() int8 {
	if p := r.take(1); p != nil {
		return int8(p[0])
	}
	return 0
}

func (r *reader) int16() int16 {
	if p := r.take(2); p != nil {
		return int16(binary.BigEndian.Uint16(p))
	}
	return 0
}

func (r *reader) int32() int32 {
	if p := r.take(4); p != nil {
		return int32(binary.BigEndian.Uint32(p))
	}
	return 0
}

func (r *reader) int64() int64 {
	if p := r.take(8); p != nil {
		return int64(binary.BigEndian.Uint64(p))
	}
	return 0
}

func (r *reader) uvarint() int {
	v, n := binary.Uvarint(r.rest)
	if r.err != nil || n <= 0 || v > math.MaxInt32 {
		r.fail(errTruncated)
		return 0
	}
	r.rest = r.rest[n:]
	return int(v)
}

func (r *reader) string() string {
	n := 0
	if r.flexible {
		n = r.uvarint() - 1
	} else {
		n = int(r.int16())
	}
	return string(r.take(n))
}

// count reads the length of an array whose elements take at least minBytes each; more than can be there is a fault.
func (r *reader) count(minBytes int) int {
	n := 0
	if r.flexible {
		n = r.uvarint() - 1
	} else {
		n = int(r.int32())
	}
	if n < 0 || r.err != nil {
		return 0
	}
	if n > len(r.rest)/minBytes {
		r.fail(errTruncated)
		return 0
	}
	return n
}

// tags gives each tagged field of a flexible version to known.
func (r *reader) tags(known func(tag int, field *reader)) {
	if !r.flexible {
		return
	}
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		tag := r.uvarint()
		field := &reader{rest: r.take(r.uvarint()), flexible: true}
		if r.err == nil && known != nil {
			known(tag, field)
		}
		if field.err != nil {
			r.fail(field.err)
		}
	}
}

// done wraps the fault, if there was one, with what was being read. Bytes that follow are what a newer version added.
func (r *reader) done(what string) error {
	if r.err != nil {
		return fmt.Errorf("%s: %w", what, r.err)
	}
	return nil
}

func appendUvarint(dst []byte, v int) []byte { return binary.AppendUvarint(dst, uint64(v)) }

func appendCompactString(dst []byte, s string) []byte {
	return append(appendUvarint(dst, len(s)+1), s...)
}
