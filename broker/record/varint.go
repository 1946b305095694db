package record

import "math/bits"

// Kafka's varints are protobuf's, zigzag: at most 5 bytes for 32 bits and 10 bytes for 64. Like Kafka we ignore bits
// of the last byte that do not fit.

// varint reads a 32-bit varint; n is 0 when p ends inside it and -1 when it does not end after 5 bytes.
func varint(p []byte) (value int32, n int) {
	var raw uint32
	for i := 0; i < len(p) && i < 5; i++ {
		raw |= uint32(p[i]&0x7f) << (7 * i)
		if p[i] < 0x80 {
			return int32(raw>>1) ^ -int32(raw&1), i + 1
		}
	}
	if len(p) >= 5 {
		return 0, -1
	}
	return 0, 0
}

// varlong reads a 64-bit varint; n is 0 when p ends inside it and -1 when it does not end after 10 bytes.
func varlong(p []byte) (value int64, n int) {
	var raw uint64
	for i := 0; i < len(p) && i < 10; i++ {
		raw |= uint64(p[i]&0x7f) << (7 * i)
		if p[i] < 0x80 {
			return int64(raw>>1) ^ -int64(raw&1), i + 1
		}
	}
	if len(p) >= 10 {
		return 0, -1
	}
	return 0, 0
}

func appendVarint(dst []byte, value int32) []byte {
	return appendUvarint(dst, uint64(uint32(value<<1)^uint32(value>>31)))
}

func appendVarlong(dst []byte, value int64) []byte {
	return appendUvarint(dst, uint64(value<<1)^uint64(value>>63))
}

func appendUvarint(dst []byte, raw uint64) []byte {
	for raw >= 0x80 {
		dst = append(dst, byte(raw)|0x80)
		raw >>= 7
	}
	return append(dst, byte(raw))
}

func varintSize(value int32) int { return uvarintSize(uint64(uint32(value<<1) ^ uint32(value>>31))) }

func varlongSize(value int64) int { return uvarintSize(uint64(value<<1) ^ uint64(value>>63)) }

func uvarintSize(raw uint64) int { return (bits.Len64(raw|1) + 6) / 7 }
