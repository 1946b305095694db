package record

import (
	"io"

	"github.com/klauspost/compress/gzip"
)

// Kafka's compression.gzip.level: 1 to 9, or -1 for zlib's default.

type gzipWriter struct {
	*gzip.Writer
	level int
}

func (c *Codecs) compressGzip(level int, dst, src []byte) ([]byte, error) {
	if level == 0 {
		level = gzip.DefaultCompression
	}
	out := &writer{bytes: dst}
	w, ok := c.gzipWriters.Get().(*gzipWriter)
	if ok && w.level == level {
		w.Reset(out)
	} else {
		fresh, err := gzip.NewWriterLevel(out, level)
		if err != nil {
			return dst, err
		}
		w = &gzipWriter{fresh, level}
	}
	defer c.gzipWriters.Put(w)
	if _, err := w.Write(src); err != nil {
		return dst, err
	}
	if err := w.Close(); err != nil {
		return dst, err
	}
	return out.bytes, nil
}

func (c *Codecs) decompressGzip(dst, src []byte, maxBytes int) ([]byte, error) {
	r, ok := c.gzipReaders.Get().(*gzip.Reader)
	if !ok {
		r = new(gzip.Reader)
	}
	defer c.gzipReaders.Put(r)
	return decompressStream(Gzip, dst, src, maxBytes, func(in io.Reader) (io.Reader, error) { return r, r.Reset(in) })
}
