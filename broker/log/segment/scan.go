package segment

import (
	"errors"
	"io"

	"github.com/millrace-io/millrace/broker/record"
)

// Header is the header of a batch and where it lies. Batch holds the header only, and is valid until the scan goes on.
type Header struct {
	Batch     record.Batch
	Position  int64
	SizeBytes int64
}

// readChunk is how much a scan reads at a time over small batches.
const readChunk = 16 << 10

// Headers calls visit for each batch from position on, until visit returns false or end is reached. Records are not
// read. A header that is impossible is a *CorruptError.
func (s *Segment) Headers(position, end int64, visit func(h Header) bool) error {
	if position >= end {
		return nil
	}
	file, err := s.Acquire()
	if err != nil {
		return err
	}
	defer s.Release()
	buffer := s.files.Buffer()
	defer s.files.PutBuffer(buffer)
	var chunk []byte
	chunkAt, want := position, int64(readChunk)
	for position < end {
		if position+record.HeaderSize > chunkAt+int64(len(chunk)) {
			chunkAt = position
			chunk = buffer[:min(want, end-position)]
			n, err := file.ReadAt(chunk, position)
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			chunk = chunk[:n]
		}
		p := chunk[position-chunkAt:]
		size, fault := headerFault(p, position, end)
		if fault != "" {
			return s.corrupt(position, fault)
		}
		if !visit(Header{Batch: record.Batch(p[:record.HeaderSize]), Position: position, SizeBytes: size}) {
			return nil
		}
		position += size
		want = readChunk
		if size > readChunk {
			want = 512 // the next header is not in what a chunk would bring
		}
	}
	return nil
}

// ReadBatch reads the whole batch at a position into dst, which grows as needed.
func (s *Segment) ReadBatch(h Header, dst []byte) (record.Batch, error) {
	if int64(cap(dst)) < h.SizeBytes {
		dst = make([]byte, h.SizeBytes)
	}
	dst = dst[:h.SizeBytes]
	file, err := s.Acquire()
	if err != nil {
		return nil, err
	}
	defer s.Release()
	if _, err := file.ReadAt(dst, h.Position); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, s.corrupt(h.Position, "the file ends inside a batch")
		}
		return nil, err
	}
	return record.Batch(dst), nil
}

// Verify reads the file from position to its end on disk and calls visit for every sound batch; nextOffset is the
// least base offset that may come. It returns where soundness ends, and why; a nil fault means at the end of the file.
// An error is one of reading.
func (s *Segment) Verify(position, nextOffset int64, visit func(b record.Batch, position int64) error) (validBytes, fileBytes int64, fault, err error) {
	file, err := s.Acquire()
	if err != nil {
		return 0, 0, nil, err
	}
	defer s.Release()
	fileBytes, err = file.Size()
	if err != nil {
		return 0, 0, nil, err
	}
	buffer := make([]byte, min(max(fileBytes-position, 0), 1<<20))
	var chunk []byte
	for chunkAt := position; position < fileBytes; {
		p := chunk[min(position-chunkAt, int64(len(chunk))):]
		size, reason := headerFault(p, position, fileBytes)
		if int64(len(p)) < min(record.HeaderSize, fileBytes-position) || (reason == "" && size > int64(len(p))) {
			// The chunk ends inside the batch: read on from its beginning.
			if size > int64(len(buffer)) {
				buffer = make([]byte, size) // size is within the file
			}
			chunk = buffer[:min(int64(len(buffer)), fileBytes-position)]
			if _, err := file.ReadAt(chunk, position); err != nil && !errors.Is(err, io.EOF) {
				return 0, 0, nil, err
			}
			chunkAt = position
			continue
		}
		if reason != "" {
			return position, fileBytes, s.corrupt(position, reason), nil
		}
		b := record.Batch(p[:size:size])
		switch {
		case b.BaseOffset() < nextOffset || !s.Fits(b.LastOffset()):
			return position, fileBytes, s.corrupt(position, "the batch's offsets do not follow"), nil
		case b.VerifyCRC() != nil:
			return position, fileBytes, s.corrupt(position, "the batch's checksum is wrong"), nil
		}
		if err := visit(b, position); err != nil {
			return 0, 0, nil, err
		}
		nextOffset = b.NextOffset()
		position += size
	}
	return position, fileBytes, nil, nil
}

// SoundBehind looks for a sound batch at position, whatever its offsets, or one with offsets from nextOffset on behind it,
// wherever the bytes before that end: records may hold batches of other logs. at is where it begins; -1: there is none.
func (s *Segment) SoundBehind(position, nextOffset int64) (at int64, err error) {
	file, err := s.Acquire()
	if err != nil {
		return -1, err
	}
	defer s.Release()
	fileBytes, err := file.Size()
	if err != nil {
		return -1, err
	}
	window := make([]byte, min(max(fileBytes-position, 0), 1<<20))
	var whole []byte
	least := s.base // of the batch at position itself
	for position+record.HeaderSize <= fileBytes {
		n, err := file.ReadAt(window[:min(int64(len(window)), fileBytes-position)], position)
		if err != nil && !errors.Is(err, io.EOF) {
			return -1, err
		}
		at := 0
		for ; at+record.HeaderSize <= n; at++ {
			size, ok := s.mayBegin(window[at:n], position+int64(at), fileBytes, least)
			least = nextOffset
			if !ok {
				continue
			}
			if whole, err = s.ReadBatch(Header{Position: position + int64(at), SizeBytes: size}, whole); err != nil {
				return -1, err
			}
			if record.Batch(whole).VerifyCRC() == nil {
				return position + int64(at), nil
			}
		}
		if at == 0 {
			break // the file has become shorter
		}
		position += int64(at)
	}
	return -1, nil
}

// mayBegin says whether p looks like the beginning of a batch with such offsets.
func (s *Segment) mayBegin(p []byte, position, fileBytes, leastOffset int64) (size int64, ok bool) {
	size, fault := headerFault(p, position, fileBytes)
	if fault != "" {
		return 0, false
	}
	b := record.Batch(p[:record.HeaderSize])
	return size, b.BaseOffset() >= leastOffset && s.Fits(b.LastOffset())
}
