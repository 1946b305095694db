package api

import "encoding/binary"

// encoder appends an answer's fields in the form of its version.
type encoder struct {
	b        []byte
	flexible bool
}

func (e *encoder) int16(v int16)    { e.b = binary.BigEndian.AppendUint16(e.b, uint16(v)) }
func (e *encoder) int32(v int32)    { e.b = binary.BigEndian.AppendUint32(e.b, uint32(v)) }
func (e *encoder) int64(v int64)    { e.b = binary.BigEndian.AppendUint64(e.b, uint64(v)) }
func (e *encoder) uuid(v [16]byte)  { e.b = append(e.b, v[:]...) }
func (e *encoder) uvarint(v uint32) { e.b = binary.AppendUvarint(e.b, uint64(v)) }

// array begins an array of n elements; -1 is null.
func (e *encoder) array(n int) {
	if e.flexible {
		e.uvarint(uint32(n + 1))
		return
	}
	e.int32(int32(n))
}

func (e *encoder) stringSize(n int) {
	if e.flexible {
		e.uvarint(uint32(n + 1))
		return
	}
	e.int16(int16(n))
}

// string appends a string given as bytes, as requests hold them.
func (e *encoder) string(s []byte) {
	e.stringSize(len(s))
	e.b = append(e.b, s...)
}

func (e *encoder) text(s string) {
	e.stringSize(len(s))
	e.b = append(e.b, s...)
}

// nullableText appends "" as null.
func (e *encoder) nullableText(s string) {
	if s == "" {
		e.stringSize(-1)
		return
	}
	e.text(s)
}

// noTags ends a structure that has no tagged fields.
func (e *encoder) noTags() {
	if e.flexible {
		e.b = append(e.b, 0)
	}
}
