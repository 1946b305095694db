package record

import (
	"io"

	"github.com/pierrec/lz4/v4"
)

// Kafka's compression.lz4.level: 1 to 17. Its default, 9, stands for the fast compressor; every other one is high
// compression, of which our library has nine levels.

const lz4DefaultLevel = 9

type lz4Writer struct {
	*lz4.Writer
	level int
}

func (c *Codecs) compressLZ4(level int, dst, src []byte) ([]byte, error) {
	if level == 0 {
		level = lz4DefaultLevel
	}
	out := &writer{bytes: dst}
	w, ok := c.lz4Writers.Get().(*lz4Writer)
	if ok && w.level == level {
		w.Reset(out)
	} else {
		w = &lz4Writer{lz4.NewWriter(out), level}
		// What Kafka writes: 64 KiB blocks that stand alone, no checksums (the batch has one), no content size.
		err := w.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false), lz4.ConcurrencyOption(1),
			lz4.CompressionLevelOption(lz4Level(level)))
		if err != nil {
			return dst, err
		}
	}
	defer c.lz4Writers.Put(w)
	if _, err := w.Write(src); err != nil {
		return dst, err
	}
	if err := w.Close(); err != nil {
		return dst, err
	}
	return out.bytes, nil
}

func lz4Level(level int) lz4.CompressionLevel {
	if level == lz4DefaultLevel {
		return lz4.Fast
	}
	return lz4.Level1 << (min(max(level, 1), 9) - 1)
}

func (c *Codecs) decompressLZ4(dst, src []byte, maxBytes int) ([]byte, error) {
	r, ok := c.lz4Readers.Get().(*lz4.Reader)
	if !ok {
		r = lz4.NewReader(nil)
	}
	defer c.lz4Readers.Put(r)
	return decompressStream(LZ4, dst, src, maxBytes, func(in io.Reader) (io.Reader, error) { r.Reset(in); return r, nil })
}
