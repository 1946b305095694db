package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// ErrMalformed says that bytes of the metadata log or of a snapshot do not follow their format.
var ErrMalformed = errors.New("malformed metadata")

// Encoder appends values in the form that the metadata log and its snapshots share: unsigned varints for lengths and
// numbers, zigzag varints where a number may be negative, strings and ids as their bytes.
type Encoder struct{ Bytes []byte }

// Uint appends an unsigned varint.
func (e *Encoder) Uint(v uint64) { e.Bytes = binary.AppendUvarint(e.Bytes, v) }

// Int appends a zigzag varint.
func (e *Encoder) Int(v int64) { e.Bytes = binary.AppendVarint(e.Bytes, v) }

// Bool appends one byte.
func (e *Encoder) Bool(v bool) {
	if v {
		e.Bytes = append(e.Bytes, 1)
	} else {
		e.Bytes = append(e.Bytes, 0)
	}
}

// ID appends sixteen bytes.
func (e *Encoder) ID(v [16]byte) { e.Bytes = append(e.Bytes, v[:]...) }

// String appends a length and the bytes.
func (e *Encoder) String(v string) {
	e.Uint(uint64(len(v)))
	e.Bytes = append(e.Bytes, v...)
}

// Int32s appends a count and the numbers.
func (e *Encoder) Int32s(v []int32) {
	e.Uint(uint64(len(v)))
	for _, n := range v {
		e.Int(int64(n))
	}
}

// IDs appends a count and the ids.
func (e *Encoder) IDs(v [][16]byte) {
	e.Uint(uint64(len(v)))
	for _, id := range v {
		e.ID(id)
	}
}

// Map appends a count and the pairs by key, so that equal maps have equal bytes.
func (e *Encoder) Map(v map[string]string) {
	e.Uint(uint64(len(v)))
	for _, k := range slices.Sorted(maps.Keys(v)) {
		e.String(k)
		e.String(v[k])
	}
}

// Decoder reads what an Encoder wrote. After the first fault every method returns zero values; Err tells which.
type Decoder struct {
	rest  []byte
	total int
	err   error
}

// NewDecoder reads p, which it keeps.
func NewDecoder(p []byte) *Decoder { return &Decoder{rest: p, total: len(p)} }

// Err returns the first fault.
func (d *Decoder) Err() error { return d.err }

// Len returns how many bytes are left.
func (d *Decoder) Len() int { return len(d.rest) }

// Finish returns the first fault, and one if bytes are left over.
func (d *Decoder) Finish() error {
	if d.err == nil && len(d.rest) > 0 {
		d.fail("bytes left over")
	}
	return d.err
}

func (d *Decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s at byte %d of %d", ErrMalformed, what, d.total-len(d.rest), d.total)
	}
	d.rest = nil
}

// Uint reads an unsigned varint.
func (d *Decoder) Uint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail("bad number")
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// Int reads a zigzag varint.
func (d *Decoder) Int() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail("bad number")
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// Int32 reads a zigzag varint that must fit.
func (d *Decoder) Int32() int32 {
	v := d.Int()
	if int64(int32(v)) != v {
		d.fail("number out of range")
		return 0
	}
	return int32(v)
}

// Bool reads one byte, 0 or 1.
func (d *Decoder) Bool() bool {
	p := d.Raw(1)
	if p == nil {
		return false
	}
	if p[0] > 1 {
		d.fail("bad boolean")
	}
	return p[0] == 1
}

// Raw reads n bytes without a copy, nil when they are not there.
func (d *Decoder) Raw(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.fail("bytes missing")
		return nil
	}
	p := d.rest[:n:n]
	d.rest = d.rest[n:]
	return p
}

// ID reads sixteen bytes.
func (d *Decoder) ID() (id [16]byte) {
	copy(id[:], d.Raw(16))
	return id
}

// String reads a length and the bytes.
func (d *Decoder) String() string { return string(d.Raw(d.Uint())) }

// Count reads the number of things that follow; each takes at least minBytes, so a count that the bytes cannot hold is a
// fault before anything is allocated by it.
func (d *Decoder) Count(minBytes int) int {
	n := d.Uint()
	if n > uint64(len(d.rest)/minBytes) {
		d.fail("count beyond the bytes")
		return 0
	}
	return int(n)
}

// Int32s reads a count and the numbers, nil for none.
func (d *Decoder) Int32s() []int32 {
	n := d.Count(1)
	if n == 0 {
		return nil
	}
	v := make([]int32, n)
	for i := range v {
		v[i] = d.Int32()
	}
	return v
}

// IDs reads a count and the ids, nil for none.
func (d *Decoder) IDs() [][16]byte {
	n := d.Count(16)
	if n == 0 {
		return nil
	}
	v := make([][16]byte, n)
	for i := range v {
		v[i] = d.ID()
	}
	return v
}

// Map reads a count and the pairs, nil for none. Keys must come in order, each once.
func (d *Decoder) Map() map[string]string {
	n := d.Count(2)
	if n == 0 {
		return nil
	}
	v := make(map[string]string, n)
	last := ""
	for i := range n {
		k := d.String()
		if i > 0 && k <= last {
			d.fail("keys out of order")
			return nil
		}
		v[k], last = d.String(), k
	}
	return v
}
