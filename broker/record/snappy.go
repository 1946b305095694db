package record

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/klauspost/compress/s2"
)

// Java's clients frame snappy as xerial does; others send one raw block. Both are read, the frame is written:
//
//	0x82 "SNAPPY" 0x00 | version 1 | oldest reader 1 | (block length, block)...      lengths: 4 bytes, big endian

const (
	xerialHeaderSize = 16
	xerialBlockSize  = 32 << 10 // of Java's writer, before compression
	// snappyMaxRatio bounds what a byte of snappy can stand for: a 3-byte copy makes 64.
	snappyMaxRatio = 22
)

func xerialMagic() []byte { return []byte("\x82SNAPPY\x00") }

func compressSnappy(dst, src []byte) []byte {
	dst = append(dst, xerialMagic()...)
	dst = binary.BigEndian.AppendUint32(dst, 1)
	dst = binary.BigEndian.AppendUint32(dst, 1)
	for len(src) > 0 {
		block := src[:min(len(src), xerialBlockSize)]
		src = src[len(block):]
		at := len(dst)
		dst = append(dst, make([]byte, 4+s2.MaxEncodedLen(len(block)))...)
		packed := s2.EncodeSnappy(dst[at+4:], block)
		binary.BigEndian.PutUint32(dst[at:], uint32(len(packed)))
		dst = dst[:at+4+len(packed)]
	}
	return dst
}

func decompressSnappy(dst, src []byte, maxBytes int) ([]byte, error) {
	if !bytes.HasPrefix(src, xerialMagic()) {
		return snappyBlock(dst, src, maxBytes)
	}
	if len(src) < xerialHeaderSize {
		return dst, errDecompress(Snappy, errors.New("the frame ends inside its header"))
	}
	start := len(dst)
	out := dst
	for src = src[xerialHeaderSize:]; len(src) > 0; {
		if bytes.HasPrefix(src, xerialMagic()) && len(src) >= xerialHeaderSize { // streams may follow one another
			src = src[xerialHeaderSize:]
			continue
		}
		if len(src) < 4 {
			return dst, errDecompress(Snappy, errors.New("the frame ends inside a length"))
		}
		size := int64(binary.BigEndian.Uint32(src))
		src = src[4:]
		if size > int64(len(src)) {
			return dst, errDecompress(Snappy, errors.New("the frame ends inside a block"))
		}
		var err error
		if out, err = snappyBlock(out, src[:size], maxBytes-(len(out)-start)); err != nil {
			return dst, err
		}
		src = src[size:]
	}
	return out, nil
}

func snappyBlock(dst, block []byte, maxBytes int) ([]byte, error) {
	size, err := s2.DecodedLen(block)
	switch {
	case err != nil:
		return dst, errDecompress(Snappy, err)
	case size > snappyMaxRatio*len(block):
		return dst, errDecompress(Snappy, errors.New("the block claims more than its bytes can hold"))
	case size > maxBytes:
		return dst, errTooLarge(maxBytes)
	}
	at := len(dst)
	dst = append(dst, make([]byte, size)...)
	if _, err := s2.Decode(dst[at:at+size:at+size], block); err != nil {
		return dst[:at], errDecompress(Snappy, err)
	}
	return dst, nil
}
