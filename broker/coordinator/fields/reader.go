package fields

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrTruncated is a record that ends before its fields do.
var ErrTruncated = errors.New("ends inside a field")

var errNull = errors.New("null where a string must be")

// Reader walks the fields of a record. After the first fault every read returns zero values; Err tells which it was. Strings
// and bytes are copied out of the input.
type Reader struct {
	Rest     []byte
	Flexible bool // lengths are of flexible versions
	Err      error
}

// Fail notes the first fault.
func (r *Reader) Fail(err error) {
	if r.Err == nil {
		r.Err, r.Rest = err, nil
	}
}

// Take returns the next n bytes, which alias the input.
func (r *Reader) Take(n int) []byte {
	if r.Err != nil || n < 0 || n > len(r.Rest) {
		r.Fail(ErrTruncated)
		return nil
	}
	p := r.Rest[:n]
	r.Rest = r.Rest[n:]
	return p
}

// Int8 reads a byte.
func (r *Reader) Int8() int8 {
	if p := r.Take(1); p != nil {
		return int8(p[0])
	}
	return 0
}

// Int16 reads two bytes.
func (r *Reader) Int16() int16 {
	if p := r.Take(2); p != nil {
		return int16(binary.BigEndian.Uint16(p))
	}
	return 0
}

// Int32 reads four bytes.
func (r *Reader) Int32() int32 {
	if p := r.Take(4); p != nil {
		return int32(binary.BigEndian.Uint32(p))
	}
	return 0
}

// Int64 reads eight bytes.
func (r *Reader) Int64() int64 {
	if p := r.Take(8); p != nil {
		return int64(binary.BigEndian.Uint64(p))
	}
	return 0
}

// Uvarint reads an unsigned number of variable length, up to 2^31-1.
func (r *Reader) Uvarint() int {
	v, n := binary.Uvarint(r.Rest)
	if r.Err != nil || n <= 0 || v > math.MaxInt32 {
		r.Fail(ErrTruncated)
		return 0
	}
	r.Rest = r.Rest[n:]
	return int(v)
}

// NullableText reads a string; nil is null.
func (r *Reader) NullableText() *string {
	n := 0
	if r.Flexible {
		n = r.Uvarint() - 1
	} else {
		n = int(r.Int16())
	}
	if n < 0 || r.Err != nil {
		return nil
	}
	s := string(r.Take(n))
	return &s
}

// Text reads a string; null is a fault.
func (r *Reader) Text() string {
	if s := r.NullableText(); s != nil {
		return *s
	}
	r.Fail(errNull)
	return ""
}

// Bytes reads bytes; nil for null and for none.
func (r *Reader) Bytes() []byte {
	n := r.long()
	if n <= 0 || r.Err != nil {
		return nil
	}
	return append([]byte(nil), r.Take(n)...)
}

// long reads the length of bytes or an array, -1 for null.
func (r *Reader) long() int {
	if r.Flexible {
		return r.Uvarint() - 1
	}
	return int(r.Int32())
}

// Count reads the length of an array whose elements take at least minBytes each; more than can be there is a fault.
func (r *Reader) Count(minBytes int) int {
	n := r.long()
	if n < 0 || r.Err != nil {
		return 0
	}
	if n > len(r.Rest)/minBytes {
		r.Fail(ErrTruncated)
		return 0
	}
	return n
}

// Int32s reads an array of four-byte numbers.
func (r *Reader) Int32s() []int32 {
	n := r.Count(4)
	list := make([]int32, 0, n)
	for ; n > 0 && r.Err == nil; n-- {
		list = append(list, r.Int32())
	}
	return list
}

// Texts reads an array of strings.
func (r *Reader) Texts() []string {
	var list []string
	for n := r.Count(1); n > 0 && r.Err == nil; n-- {
		list = append(list, r.Text())
	}
	return list
}

// Tags gives each tagged field of a flexible version to known, nil to skip them; a fault inside one is the reader's.
func (r *Reader) Tags(known func(tag int, field *Reader)) {
	if !r.Flexible {
		return
	}
	for n := r.Uvarint(); n > 0 && r.Err == nil; n-- {
		tag := r.Uvarint()
		field := &Reader{Rest: r.Take(r.Uvarint()), Flexible: true}
		if r.Err == nil && known != nil {
			known(tag, field)
		}
		if field.Err != nil {
			r.Fail(field.Err)
		}
	}
}

// Done wraps the fault, if there was one, with what was being read. Bytes that follow are what a newer version added.
func (r *Reader) Done(what string) error {
	if r.Err != nil {
		return fmt.Errorf("%s: %w", what, r.Err)
	}
	return nil
}
