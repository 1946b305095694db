package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// errTruncated is a record or subscription that ends before its fields do.
var errTruncated = errors.New("ends inside a field")

// errNegativePartition is a record that nobody wrote.
var errNegativePartition = errors.New("a partition has a negative number")

// reader walks the fields of a record. After the first fault every read returns zero values; err tells which it was.
// Strings and bytes are copied out of the input.
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
	if n <= 0 || v > math.MaxInt32 {
		r.fail(errTruncated)
		return 0
	}
	r.rest = r.rest[n:]
	return int(v)
}

// length reads the length of a string, -1 for null.
func (r *reader) length() int {
	if r.flexible {
		return r.uvarint() - 1
	}
	return int(r.int16())
}

// nullableString returns nil for null.
func (r *reader) nullableString() *string {
	n := r.length()
	if n < 0 || r.err != nil {
		return nil
	}
	s := string(r.take(n))
	return &s
}

func (r *reader) string() string {
	if s := r.nullableString(); s != nil {
		return *s
	}
	if r.err == nil {
		r.fail(errors.New("null where a string must be"))
	}
	return ""
}

func (r *reader) bytes() []byte {
	n := 0
	if r.flexible {
		n = r.uvarint() - 1
	} else {
		n = int(r.int32())
	}
	if n <= 0 || r.err != nil {
		return nil
	}
	return append([]byte(nil), r.take(n)...)
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

// tags skips the tagged fields of a flexible version.
func (r *reader) tags() {
	if !r.flexible {
		return
	}
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		r.uvarint()
		r.take(r.uvarint())
	}
}

// done wraps the fault, if there was one, with what was being read. Bytes that follow are what a newer version added.
func (r *reader) done(what string) error {
	if r.err != nil {
		return fmt.Errorf("%s: %w", what, r.err)
	}
	return nil
}

func appendString(dst []byte, s string) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(s)))
	return append(dst, s...)
}

func appendNullableString(dst []byte, s *string) []byte {
	if s == nil {
		return append(dst, 0xff, 0xff)
	}
	return appendString(dst, *s)
}

func appendBytes(dst, p []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(p)))
	return append(dst, p...)
}

func (r *reader) int8() int8 {
	if p := r.take(1); p != nil {
		return int8(p[0])
	}
	return 0
}

// id reads a topic id.
func (r *reader) id() (id TopicID) {
	copy(id[:], r.take(len(id)))
	return id
}

func (r *reader) int32s() []int32 {
	n := r.count(4)
	list := make([]int32, 0, n)
	for ; n > 0 && r.err == nil; n-- {
		list = append(list, r.int32())
	}
	return list
}

// partitions reads numbers of partitions, sorted, each once.
func (r *reader) partitions() []int32 {
	list := r.int32s()
	slices.Sort(list)
	if len(list) > 0 && list[0] < 0 {
		r.fail(errNegativePartition)
	}
	return slices.Compact(list)
}

func (r *reader) strings() []string {
	var list []string
	for n := r.count(1); n > 0 && r.err == nil; n-- {
		list = append(list, r.string())
	}
	return list
}

// eachTag reads the tagged fields of a flexible version; a fault inside one is the reader's.
func (r *reader) eachTag(read func(number int, field *reader)) {
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		number := r.uvarint()
		field := &reader{rest: r.take(r.uvarint()), flexible: true}
		if r.err != nil {
			return
		}
		read(number, field)
		if field.err != nil {
			r.fail(field.err)
		}
	}
}

func errVersion(what string, version int16) error {
	return fmt.Errorf("%s: version %d is not known", what, version)
}
