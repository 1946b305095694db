package segment

import (
	"errors"
	"os"
	"time"

	"github.com/millrace-io/millrace/broker/record"
)

// OpenActive gets a segment found on disk ready for writing. Everything below verified is taken as it is, only headers
// are read: an impossible one there is a *CorruptError. What follows is checked batch by batch, checksums included, and
// given to visit in order; at the first fault the segment ends, and the fault is returned as torn together with how many
// bytes lie behind: they stay in the file until the caller cuts them off.
//
// verified is the recovery point: an offset at which a batch begins, or the end of the data.
func (s *Segment) OpenActive(verified int64, indexIntervalBytes int64, now time.Time, visit func(b record.Batch) error) (torn error, tailBytes int64, err error) {
	file, err := s.Acquire()
	if err != nil {
		return nil, 0, err
	}
	defer s.Release()
	fileBytes, err := file.Size()
	if err != nil {
		return nil, 0, err
	}
	if fileBytes > 1<<31-1 {
		return nil, 0, s.corrupt(1<<31-1, "the segment is larger than 2 GiB")
	}
	s.createdMillis = now.UnixMilli()
	s.mu.Lock()
	s.index, s.sealed, s.timesKnown = &Index{}, false, true
	s.mu.Unlock()
	if err := s.loadVerified(verified, fileBytes, indexIntervalBytes); err != nil {
		return nil, 0, err
	}
	s.syncedSize.Store(s.sizeBytes.Load())
	valid, fileBytes, torn, err := s.Verify(s.sizeBytes.Load(), s.nextOffset.Load(), func(b record.Batch, _ int64) error {
		s.Commit([]Placed{{b.LastOffset(), b.MaxTimestamp(), len(b)}}, indexIntervalBytes)
		return visit(b)
	})
	if err != nil {
		return nil, 0, err
	}
	return torn, fileBytes - valid, nil
}

// loadVerified takes in the headers below the recovery point, from the last index entry on where the index is sound.
func (s *Segment) loadVerified(verified, fileBytes, indexIntervalBytes int64) error {
	if verified <= s.base || fileBytes == 0 {
		return nil
	}
	from := s.startFromIndex(verified, fileBytes)
	var fault error
	err := s.Headers(from, fileBytes, func(h Header) bool {
		if h.Batch.BaseOffset() >= verified {
			return false
		}
		if h.Batch.BaseOffset() < s.nextOffset.Load() && h.Position > from {
			fault = s.corrupt(h.Position, "the batch's offsets do not follow")
			return false
		}
		s.Commit([]Placed{{h.Batch.LastOffset(), h.Batch.MaxTimestamp(), int(h.SizeBytes)}}, indexIntervalBytes)
		return true
	})
	var corrupt *CorruptError
	if errors.As(err, &corrupt) && s.nextOffset.Load() >= verified {
		return nil // the bad bytes lie behind the recovery point: a torn tail
	}
	if err == nil {
		err = fault
	}
	return err
}

// startFromIndex takes over the part of the index file that is below the recovery point and returns where its last
// indexed batch begins, which is still to be taken in; 0 when there is no usable index.
func (s *Segment) startFromIndex(verified, fileBytes int64) int64 {
	if fileBytes <= readChunk {
		return 0 // reading the headers costs less than reading the index
	}
	index, err := s.readIndex(fileBytes)
	if err != nil {
		return 0
	}
	index.truncate(s.relative(verified), fileBytes)
	if len(index.offsets) == 0 || s.checkIndex(index, fileBytes) != nil {
		return 0
	}
	first := int64(-1)
	if s.Headers(0, fileBytes, func(h Header) bool { first = h.Batch.MaxTimestamp(); return false }) != nil {
		return 0
	}
	last := index.offsets[len(index.offsets)-1]
	index.offsets = index.offsets[:len(index.offsets)-1] // it comes back with its batch, at the same place
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index = index
	s.firstTimestampMillis = first
	if n := len(index.times); n > 0 {
		s.maxTimestampMillis = index.times[n-1].timestampMillis
		s.maxTimestampOffset = s.base + int64(index.times[n-1].relativeOffset)
	}
	s.bytesSinceIndex = 1 << 62 // so that the batch at last is indexed
	s.sizeBytes.Store(int64(last.position))
	return int64(last.position)
}

// TruncateTo cuts the segment before the first batch that ends at or after offset. It becomes, or stays, active.
func (s *Segment) TruncateTo(offset int64, indexIntervalBytes int64) error {
	index, size, _, err := s.snapshot()
	if err != nil {
		return err
	}
	cut, err := s.find(index, offset, size)
	if err != nil {
		return err
	}
	position := size
	if cut.SizeBytes > 0 {
		position = cut.Position
	}
	next, err := s.endBefore(index, position)
	if err != nil {
		return err
	}
	if err := s.restart(index, next, position); err != nil {
		return err
	}
	if err := s.Cut(); err != nil {
		return err
	}
	if s.syncedSize.Load() > position {
		s.syncedSize.Store(position)
	}
	if _, err := s.Sync(); err != nil { // or a crash brings back what was cut
		return err
	}
	return s.removeIndexFiles()
}

// endBefore is the offset after the last batch that ends at or before position.
func (s *Segment) endBefore(index *Index, position int64) (int64, error) {
	from := int64(0)
	if boundary, ok := index.boundary(0, position-1); ok {
		from = boundary
	}
	next := s.base
	err := s.Headers(from, position, func(h Header) bool {
		next = h.Batch.NextOffset()
		return true
	})
	return next, err
}

// restart makes the segment an active one that ends at position, before next.
func (s *Segment) restart(index *Index, next, position int64) error {
	kept := index.clone()
	kept.truncate(s.relative(next), position)
	aborted, err := s.Aborted()
	if err != nil {
		return err
	}
	keptAborted := make([]AbortedTxn, 0, len(aborted))
	for _, t := range aborted {
		if t.LastOffset < next {
			keptAborted = append(keptAborted, t)
		}
	}
	maxTimestamp, maxOffset, first, since, err := s.timesUpTo(kept, position)
	if err != nil {
		return err
	}
	s.indexes.remove(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index, s.sealed, s.recent = kept, false, nil
	s.abortedDirty = s.abortedDirty || len(keptAborted) != len(aborted)
	s.aborted, s.abortedLoaded = keptAborted, true
	s.maxTimestampMillis, s.maxTimestampOffset, s.timesKnown = maxTimestamp, maxOffset, true
	s.firstTimestampMillis, s.bytesSinceIndex = first, since
	s.allocatedBytes = 0
	s.sizeBytes.Store(position)
	s.nextOffset.Store(next)
	return nil
}

// timesUpTo finds the largest timestamp before position, from the last entries of the index on.
func (s *Segment) timesUpTo(index *Index, position int64) (maxTimestamp, maxOffset, first, since int64, err error) {
	maxTimestamp, maxOffset, first = -1, -1, -1
	if n := len(index.times); n > 0 {
		maxTimestamp, maxOffset = index.times[n-1].timestampMillis, s.base+int64(index.times[n-1].relativeOffset)
	}
	from := int64(0)
	if n := len(index.offsets); n > 0 {
		from = int64(index.offsets[n-1].position)
	}
	err = s.Headers(0, position, func(h Header) bool { first = h.Batch.MaxTimestamp(); return false })
	if err != nil {
		return
	}
	err = s.Headers(from, position, func(h Header) bool {
		if ts := h.Batch.MaxTimestamp(); ts > maxTimestamp {
			maxTimestamp, maxOffset = ts, h.Batch.LastOffset()
		}
		since += h.SizeBytes
		return true
	})
	return
}

// removeIndexFiles takes away index files that say more than the data holds.
func (s *Segment) removeIndexFiles() error {
	for _, kind := range [...]string{IndexSuffix, TimeIndexSuffix} {
		if err := s.files.fs.Remove(s.FileName(kind)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}
