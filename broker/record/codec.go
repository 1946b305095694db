package record

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Codecs compresses and decompresses payloads and keeps the encoders, decoders and buffers for the next use. The zero
// value works and is safe for concurrent use: a broker has one. Methods on a nil *Codecs work and keep nothing.
type Codecs struct {
	buffers                               sync.Pool // *[]byte
	gzipReaders, lz4Readers, zstdDecoders sync.Pool
	gzipWriters, lz4Writers, zstdEncoders sync.Pool
	turns                                 turns // of Validator.Check; readers of what is in the log hold batches longer
}

// maxKeptBuffer is the largest scratch that is kept: one huge batch does not hold its memory for ever.
const maxKeptBuffer = 4 << 20

// Compress appends src, compressed, to dst. level is in Kafka's scale for the codec (compression.<codec>.level); 0 is
// the codec's default.
func Compress(codec Codec, level int, dst, src []byte) ([]byte, error) {
	return (*Codecs)(nil).Compress(codec, level, dst, src)
}

// Decompress appends src, decompressed, to dst. More than maxBytes is refused with kerr.MessageTooLarge, anything that
// is not of the codec with kerr.InvalidRecord, both as *CorruptError; no more than maxBytes are allocated for it.
func Decompress(codec Codec, dst, src []byte, maxBytes int) ([]byte, error) {
	return (*Codecs)(nil).Decompress(codec, dst, src, maxBytes)
}

// Compress is the function of that name with encoders kept.
func (c *Codecs) Compress(codec Codec, level int, dst, src []byte) ([]byte, error) {
	if c == nil {
		c = &Codecs{}
	}
	switch codec {
	case None:
		return append(dst, src...), nil
	case Gzip:
		return c.compressGzip(level, dst, src)
	case Snappy:
		return compressSnappy(dst, src), nil
	case LZ4:
		return c.compressLZ4(level, dst, src)
	case Zstd:
		return c.compressZstd(level, dst, src)
	}
	return dst, errUnknownCodec(codec)
}

// Decompress is the function of that name with decoders kept.
func (c *Codecs) Decompress(codec Codec, dst, src []byte, maxBytes int) ([]byte, error) {
	if c == nil {
		c = &Codecs{}
	}
	switch codec {
	case None:
		if len(src) > maxBytes {
			return dst, errTooLarge(maxBytes)
		}
		return append(dst, src...), nil
	case Gzip:
		return c.decompressGzip(dst, src, maxBytes)
	case Snappy:
		return decompressSnappy(dst, src, maxBytes)
	case LZ4:
		return c.decompressLZ4(dst, src, maxBytes)
	case Zstd:
		return c.decompressZstd(dst, src, maxBytes)
	}
	return dst, errUnknownCodec(codec)
}

func (c *Codecs) takeBuffer() *[]byte {
	if c != nil {
		if p, ok := c.buffers.Get().(*[]byte); ok {
			return p
		}
	}
	return new([]byte)
}

func (c *Codecs) giveBuffer(p *[]byte) {
	if c != nil && p != nil && cap(*p) <= maxKeptBuffer {
		c.buffers.Put(p)
	}
}

// readAll appends what r gives to dst, at most maxBytes of it. The buffer doubles as bytes come, never ahead of them.
func readAll(dst []byte, r io.Reader, maxBytes int) ([]byte, error) {
	start := len(dst)
	for {
		left := maxBytes + 1 - (len(dst) - start) // one more than may come tells that there is more
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, growth(len(dst), left))
		}
		n, err := r.Read(dst[len(dst):min(cap(dst), len(dst)+left)])
		dst = dst[:len(dst)+n]
		if len(dst)-start > maxBytes {
			return dst[:start], errTooLarge(maxBytes)
		}
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst[:start], err
		}
	}
}

// growth doubles, unless what is left is about as much: append would grow large buffers by a quarter, and leave five times
// as much behind for the collector.
func growth(size, left int) int {
	double := max(size, 512)
	if left <= double+double/4 {
		return left
	}
	return double
}

// writer appends what an encoder writes to a slice.
type writer struct{ bytes []byte }

func (w *writer) Write(p []byte) (int, error) {
	w.bytes = append(w.bytes, p...)
	return len(p), nil
}

func errTooLarge(maxBytes int) error {
	return &CorruptError{Err: kerr.MessageTooLarge,
		Message: fmt.Sprintf("The record batch unpacks to more than %d bytes", maxBytes)}
}

func errUnknownCodec(codec Codec) error {
	return &CorruptError{Err: kerr.UnsupportedCompressionType,
		Message: fmt.Sprintf("Unknown compression type id: %d", codec)}
}

func errDecompress(codec Codec, err error) error {
	return invalid("Failed to decompress record stream: %v: %v", codec, err)
}

// decompressStream runs a pooled streaming decoder.
func decompressStream(codec Codec, dst, src []byte, maxBytes int, open func(io.Reader) (io.Reader, error)) ([]byte, error) {
	r, err := open(bytes.NewReader(src))
	if err != nil {
		return dst, errDecompress(codec, err)
	}
	out, err := readAll(dst, r, maxBytes)
	if _, ours := err.(*CorruptError); err != nil && !ours {
		return dst, errDecompress(codec, err)
	}
	return out, err
}
