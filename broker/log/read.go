package log

import (
	"errors"
	"io"
	"io/fs"

	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/vfs"
)

// Slice is a run of whole batches: in Bytes, or in File from Position on. Release it exactly once.
type Slice struct {
	Bytes     []byte   // the data, unless File is set
	File      vfs.File // where the data is, when it is more than segment.InlineBytes
	Position  int64
	SizeBytes int // 0: nothing to read at this offset yet

	upTo    int64            // that was asked for
	source  *segment.Segment // what it was read from
	lent    *lent            // has the bytes in memory, perhaps for a moment only; may be nil
	segment *segment.Segment // pinned
	buffer  *[segment.InlineBytes]byte
	files   *segment.Files
}

// Lent says that a slice of a file could be read from memory a moment ago.
func (s *Slice) Lent() bool { return s.lent != nil }

// ReadFull reads all of a slice of a file into p, which has SizeBytes, from memory if that is still possible.
func (s *Slice) ReadFull(p []byte) error {
	if s.lent != nil && s.lent.read(p, s.segment, s.Position) {
		return nil
	}
	n, err := s.File.ReadAt(p, s.Position)
	if n == len(p) {
		return nil
	}
	return err
}

// Release unpins the file and gives the buffer back.
func (s *Slice) Release() {
	if s.segment != nil {
		s.segment.Release()
	}
	if s.buffer != nil {
		s.files.PutBuffer(s.buffer)
	}
	*s = Slice{}
}

// Bound is an offset that no batch of the slice reaches, as low as the index tells without a look at the batches: what ends
// behind it is of no concern to who reads the slice.
func (s *Slice) Bound() int64 {
	if s.source == nil {
		return s.upTo
	}
	return min(s.upTo, s.source.OffsetBound(s.Position+int64(s.SizeBytes)))
}

// Read returns whole batches from the one that holds offset on, all of them below upTo, which is a batch boundary: the
// high watermark, the last stable offset or the log end offset. They take at most maxBytes, except that with
// atLeastOneBatch the first comes whatever its size. It is ErrOffsetOutOfRange outside of the log.
func (l *Log) Read(offset, upTo int64, maxBytes int, atLeastOneBatch bool) (Slice, error) {
	if err := l.usable(); err != nil {
		return Slice{}, err
	}
	for attempt := 0; ; attempt++ {
		end := l.logEnd.Load()
		if offset < l.logStart.Load() || offset > end {
			return Slice{}, ErrOffsetOutOfRange
		}
		slice, err := l.read(offset, min(upTo, end), int64(maxBytes), atLeastOneBatch)
		if err == nil || attempt == maxReadAttempts {
			return slice, l.readError(err)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			// The segment was deleted under the reader: the list of segments has changed.
		case isCorrupt(err):
			// A truncation may have been at work. Without it the same bytes are read once more.
			l.mu.Lock()
			slice, err = l.read(offset, min(upTo, l.logEnd.Load()), int64(maxBytes), atLeastOneBatch)
			l.mu.Unlock()
			return slice, l.readError(err)
		default:
			return Slice{}, l.fail(err)
		}
	}
}

const maxReadAttempts = 3

func (l *Log) readError(err error) error {
	if err != nil && errors.Is(err, fs.ErrNotExist) && l.failure.Load() != nil {
		return l.Err()
	}
	return l.fail(err)
}

func (l *Log) read(offset, upTo, maxBytes int64, atLeastOne bool) (Slice, error) {
	segments := *l.segments.Load()
	if offset >= upTo || len(segments) == 0 {
		return Slice{}, nil
	}
	for _, s := range segments[segmentIndex(segments, offset):] {
		if s.BaseOffset() >= upTo {
			break
		}
		place, err := s.Locate(offset, upTo, maxBytes, atLeastOne)
		if err != nil {
			return Slice{}, err
		}
		if place.SizeBytes > 0 {
			slice, err := l.slice(s, place)
			slice.source, slice.upTo = s, upTo
			return slice, err
		}
		if s.NextOffset() > offset && !s.Sealed() {
			break // there is a batch, it does not fit
		}
	}
	return Slice{}, nil
}

func (l *Log) slice(s *segment.Segment, place segment.Place) (Slice, error) {
	file, err := s.Acquire()
	if err != nil {
		return Slice{}, err
	}
	if place.SizeBytes > segment.InlineBytes {
		slice := Slice{File: file, Position: place.Position, SizeBytes: int(place.SizeBytes), segment: s}
		if l.lent.holds(s, place) {
			slice.lent = &l.lent
		}
		return slice, nil
	}
	defer s.Release()
	buffer := l.dir.files.Buffer()
	p := buffer[:place.SizeBytes]
	if l.lent.read(p, s, place.Position) {
		return Slice{Bytes: p, Position: place.Position, SizeBytes: len(p), buffer: buffer, files: l.dir.files}, nil
	}
	if n, err := file.ReadAt(p, place.Position); err != nil && (n < len(p) || !errors.Is(err, io.EOF)) {
		l.dir.files.PutBuffer(buffer)
		if errors.Is(err, io.EOF) {
			err = &CorruptError{File: s.FileName(segment.LogSuffix), Offset: place.Position, Reason: "the file is shorter than the log"}
		}
		return Slice{}, err
	}
	return Slice{Bytes: p, Position: place.Position, SizeBytes: len(p), buffer: buffer, files: l.dir.files}, nil
}

func isCorrupt(err error) bool {
	var corrupt *CorruptError
	return errors.As(err, &corrupt)
}
