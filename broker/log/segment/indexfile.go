package segment

import (
	"errors"
	"os"
)

// looseTailBytes is how far the last index entry may lie from the end of the data before the index counts as torn.
const looseTailBytes = 16 << 20

// loadIndex reads the index of a sealed segment, or makes it anew from the data when the files are missing or wrong.
func (s *Segment) loadIndex() error {
	index, err := s.readIndex(s.sizeBytes.Load())
	if err != nil {
		if !errors.Is(err, ErrCorruptIndex) && !os.IsNotExist(err) {
			return err
		}
		if index, err = s.rebuildIndex(defaultIndexInterval); err != nil {
			return err
		}
		_ = s.writeIndex(index) // a cache: without it the next load reads the data again
	}
	s.mu.Lock()
	if s.index != nil {
		s.mu.Unlock()
		return nil
	}
	s.index = index
	s.mu.Unlock()
	s.indexUsed.Store(true)
	s.indexes.add(s, index.sizeBytes())
	return nil
}

const defaultIndexInterval = 4096

func (s *Segment) unloadIndex() {
	s.mu.Lock()
	if s.sealed {
		s.index = nil
	}
	s.mu.Unlock()
}

// readIndex reads both index files. An index that ends long before the data was torn by a crash.
func (s *Segment) readIndex(sizeBytes int64) (*Index, error) {
	p, err := ReadFile(s.files.fs, s.FileName(IndexSuffix))
	if err != nil {
		return nil, err
	}
	offsets, err := decodeOffsets(p, sizeBytes)
	if err != nil {
		return nil, err
	}
	if p, err = ReadFile(s.files.fs, s.FileName(TimeIndexSuffix)); err != nil {
		return nil, err
	}
	times, err := decodeTimes(p)
	if err != nil {
		return nil, err
	}
	index := &Index{offsets: offsets, times: times}
	return index, s.checkIndex(index, sizeBytes)
}

// checkIndex holds the last entry against the data.
func (s *Segment) checkIndex(index *Index, sizeBytes int64) error {
	last := offsetEntry{}
	if n := len(index.offsets); n > 0 {
		last = index.offsets[n-1]
	}
	s.mu.RLock()
	rebuilt := s.rebuilt
	s.mu.RUnlock()
	if sizeBytes-int64(last.position) > looseTailBytes && !rebuilt {
		return ErrCorruptIndex
	}
	if len(index.offsets) == 0 {
		return nil
	}
	sound := false
	err := s.Headers(int64(last.position), sizeBytes, func(h Header) bool {
		sound = h.Batch.LastOffset() == s.base+int64(last.relativeOffset)
		return false
	})
	if err != nil || !sound {
		return ErrCorruptIndex // a bad header there is met, and named, by the rebuild
	}
	return nil
}

// rebuildIndex reads the headers of the whole data file.
func (s *Segment) rebuildIndex(indexIntervalBytes int64) (*Index, error) {
	index := &Index{}
	maxTimestamp, maxOffset, since := int64(-1), int64(-1), int64(0)
	err := s.Headers(0, s.sizeBytes.Load(), func(h Header) bool {
		if ts := h.Batch.MaxTimestamp(); ts > maxTimestamp {
			maxTimestamp, maxOffset = ts, h.Batch.LastOffset()
		}
		if since > indexIntervalBytes {
			index.addOffset(s.relative(h.Batch.LastOffset()), uint32(h.Position))
			if maxOffset >= s.base {
				index.addTime(maxTimestamp, s.relative(maxOffset))
			}
			since = 0
		}
		since += h.SizeBytes
		return true
	})
	if err != nil {
		return nil, err
	}
	if maxOffset >= s.base {
		index.addTime(maxTimestamp, s.relative(maxOffset))
	}
	s.mu.Lock()
	s.rebuilt = true
	s.mu.Unlock()
	return index, nil
}

func (s *Segment) writeIndex(index *Index) error {
	if err := WriteFile(s.files.fs, s.FileName(IndexSuffix), index.encodeOffsets(), false); err != nil {
		return err
	}
	return WriteFile(s.files.fs, s.FileName(TimeIndexSuffix), index.encodeTimes(), false)
}

// WriteIndex writes the index files of the active segment as they would be if it were sealed now.
func (s *Segment) WriteIndex() error {
	s.mu.RLock()
	index := s.index.clone()
	if s.maxTimestampOffset >= s.base {
		index.addTime(s.maxTimestampMillis, s.relative(s.maxTimestampOffset))
	}
	s.mu.RUnlock()
	return s.writeIndex(index)
}

// Aborted returns the aborted transactions whose marker lies in the segment.
func (s *Segment) Aborted() ([]AbortedTxn, error) {
	s.mu.RLock()
	aborted, loaded := s.aborted, s.abortedLoaded
	s.mu.RUnlock()
	if loaded {
		return aborted, nil
	}
	p, err := ReadFile(s.files.fs, s.FileName(TxnIndexSuffix))
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	if aborted, err = decodeAborted(p, s.base); err != nil {
		return nil, &CorruptError{File: s.FileName(TxnIndexSuffix), Reason: err.Error()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.abortedLoaded { // what was added before comes behind what the file has
		s.aborted, s.abortedLoaded = append(aborted, s.aborted...), true
	}
	return s.aborted, nil
}

// SetAborted replaces what the .txnindex has: recovery keeps what lies below the recovery point and finds the rest.
func (s *Segment) SetAborted(txns []AbortedTxn, dirty bool) {
	s.mu.Lock()
	s.aborted, s.abortedLoaded, s.abortedDirty = txns, true, dirty
	s.mu.Unlock()
}

// WriteAborted makes the .txnindex durable if it changed; the caller syncs the directory when it says so.
func (s *Segment) WriteAborted() (written bool, err error) {
	s.mu.RLock()
	dirty := s.abortedDirty
	s.mu.RUnlock()
	if !dirty {
		return false, nil
	}
	if _, err := s.Aborted(); err != nil { // the file is written whole
		return false, err
	}
	s.mu.Lock()
	txns := s.aborted
	s.abortedDirty = false
	s.mu.Unlock()
	if err := WriteFile(s.files.fs, s.FileName(TxnIndexSuffix), encodeAborted(txns), true); err != nil {
		s.mu.Lock()
		s.abortedDirty = true
		s.mu.Unlock()
		return false, err
	}
	return true, nil
}
