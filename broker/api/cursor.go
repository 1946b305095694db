package api

import (
	"encoding/binary"
)

// cursor walks a request in place. A read past the end sets bad and yields zeros, so that a walk checks once at its end.
// Nothing is allocated; slices alias the frame.
type cursor struct {
	p        []byte
	flexible bool
	bad      bool
	elements int // of all arrays so far
}

// maxElements is how many topics and partitions a Produce or Fetch may name together. Kept in memory, each takes up to a
// hundred times its bytes in the frame.
const maxElements = 1 << 18

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.p) {
		c.bad, c.p = true, nil
		return nil
	}
	b := c.p[:n:n]
	c.p = c.p[n:]
	return b
}

func (c *cursor) int8() int8 {
	if b := c.take(1); b != nil {
		return int8(b[0])
	}
	return 0
}

func (c *cursor) int16() int16 {
	if b := c.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (c *cursor) int32() int32 {
	if b := c.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (c *cursor) int64() int64 {
	if b := c.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (c *cursor) uuid() (id [16]byte) {
	copy(id[:], c.take(16))
	return id
}

func (c *cursor) uvarint() uint32 {
	v, n := binary.Uvarint(c.p)
	if n <= 0 || v > 1<<32-1 {
		c.bad, c.p = true, nil
		return 0
	}
	c.p = c.p[n:]
	return uint32(v)
}

// size reads the length of a nullable thing: -1 is null.
func (c *cursor) size(wide bool) int {
	switch {
	case c.flexible:
		return int(c.uvarint()) - 1
	case wide:
		return int(c.int32())
	}
	return int(c.int16())
}

// string reads a nullable string; nil is null.
func (c *cursor) string() []byte { return c.sized(c.size(false)) }

// bytes reads nullable bytes; nil is null.
func (c *cursor) bytes() []byte { return c.sized(c.size(true)) }

func (c *cursor) sized(n int) []byte {
	if n < -1 {
		c.bad, c.p = true, nil
	}
	if n < 0 || c.bad {
		return nil
	}
	if n == 0 {
		return []byte{}
	}
	return c.take(n)
}

// array reads the length of an array; null counts as empty. An element takes at least one byte, so a length beyond the
// frame is refused before anything is done with it, as is one with which the request names too much.
func (c *cursor) array() int {
	n := c.size(true)
	if n < -1 || n > len(c.p) || c.elements+n > maxElements {
		c.bad, c.p = true, nil
		return 0
	}
	c.elements += max(n, 0)
	return max(n, 0)
}

// tags skips tagged fields, where the version has them.
func (c *cursor) tags() {
	if !c.flexible {
		return
	}
	for n := c.uvarint(); n > 0 && !c.bad; n-- {
		c.uvarint()
		c.take(int(c.uvarint()))
	}
}

// tagged calls field for each tagged field with the bytes of its value.
func (c *cursor) tagged(field func(tag uint32, value []byte)) {
	if !c.flexible {
		return
	}
	for n := c.uvarint(); n > 0 && !c.bad; n-- {
		tag := c.uvarint()
		if value := c.take(int(c.uvarint())); !c.bad {
			field(tag, value)
		}
	}
}
