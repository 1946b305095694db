package txn

import "encoding/binary"

func appendUvarint(dst []byte, v int) []byte { return binary.AppendUvarint(dst, uint64(v)) }

func appendCompactString(dst []byte, s string) []byte {
	return append(appendUvarint(dst, len(s)+1), s...)
}
