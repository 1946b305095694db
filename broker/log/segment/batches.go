package segment

import (
	"errors"
	"io"

	"github.com/millrace-io/millrace/broker/record"
)

// Batches reads the batches from position to end whole, in pieces as large as buffer, and calls visit for each, which may
// keep nothing of it. before is told of every piece that is about to be read. The buffer grows for a batch that is larger,
// and is returned. Checksums are the caller's care; a header that is impossible is a *CorruptError.
func (s *Segment) Batches(position, end int64, buffer []byte, before func(sizeBytes int) error, visit func(b record.Batch, position int64) error) ([]byte, error) {
	file, err := s.Acquire()
	if err != nil {
		return buffer, err
	}
	defer s.Release()
	have := buffer[:0] // what was read from position on
	for position < end {
		size, fault := headerFault(have, position, end)
		if cut := int64(len(have)) < min(record.HeaderSize, end-position); fault != "" && !cut {
			return buffer, s.corrupt(position, fault)
		} else if cut || size > int64(len(have)) {
			if size > int64(len(buffer)) {
				buffer = make([]byte, size) // no more than is left of the file
			}
			n := copy(buffer, have)
			want := buffer[n:min(int64(len(buffer)), end-position)]
			if err := before(len(want)); err != nil {
				return buffer, err
			}
			read, err := file.ReadAt(want, position+int64(n))
			if err != nil && !errors.Is(err, io.EOF) {
				return buffer, err
			}
			if read < len(want) {
				return buffer, s.corrupt(position, "the file ends inside a batch")
			}
			have = buffer[:n+read]
			continue
		}
		if err := visit(record.Batch(have[:size:size]), position); err != nil {
			return buffer, err
		}
		have, position = have[size:], position+size
	}
	return buffer, nil
}
