package segment

import "sort"

// Place is where a batch lies.
type Place struct {
	Position  int64
	SizeBytes int64
}

// Locate finds a run of whole batches: the first is the one that holds offset, or the next after it, all end below
// upTo, and together they take at most maxBytes, except that with atLeastOne the first comes whatever its size. A run
// of no bytes means that nothing fits or that the segment has no such batch.
func (s *Segment) Locate(offset, upTo int64, maxBytes int64, atLeastOne bool) (Place, error) {
	if run, ok := s.locateRecent(offset, upTo, maxBytes, atLeastOne); ok {
		return run, nil
	}
	index, size, next, err := s.snapshot()
	if err != nil {
		return Place{}, err
	}
	first, err := s.find(index, offset, size)
	if err != nil || first.SizeBytes == 0 {
		return Place{}, err
	}
	end := size
	if upTo < next {
		last, err := s.find(index, upTo, size)
		if err != nil {
			return Place{}, err
		}
		if last.SizeBytes != 0 {
			end = last.Position
		}
	}
	return s.fit(index, first, end, maxBytes, atLeastOne)
}

// fit ends the run at a batch boundary.
func (s *Segment) fit(index *Index, first Place, end, maxBytes int64, atLeastOne bool) (Place, error) {
	limit := first.Position + maxBytes
	switch {
	case end <= first.Position:
		return Place{Position: first.Position}, nil
	case end <= limit:
		return Place{first.Position, end - first.Position}, nil
	case first.SizeBytes > maxBytes && atLeastOne:
		return first, nil
	case first.SizeBytes > maxBytes:
		return Place{Position: first.Position}, nil
	}
	// Indexed positions are batch boundaries: no header need be read. The run may be short by one index interval.
	if boundary, ok := index.boundary(first.Position, limit); ok {
		return Place{first.Position, boundary - first.Position}, nil
	}
	run := first
	err := s.Headers(first.Position+first.SizeBytes, end, func(h Header) bool {
		if run.SizeBytes+h.SizeBytes > maxBytes {
			return false
		}
		run.SizeBytes += h.SizeBytes
		return true
	})
	return run, err
}

// locateRecent answers from the places of the last batches. ok is false when offset is older than those.
func (s *Segment) locateRecent(offset, upTo, maxBytes int64, atLeastOne bool) (run Place, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i, ok := s.recentIndex(offset)
	if !ok {
		return Place{}, false
	}
	first := int64(s.recent[i].position)
	j := len(s.recent) // the first batch that is not in the run
	if upTo < s.nextOffset.Load() {
		if j, ok = s.recentIndex(upTo); !ok {
			j = i
		}
	}
	if j <= i {
		return Place{Position: first}, true
	}
	if s.recentStart(j)-first > maxBytes {
		rest := s.recent[i+1 : j]
		fitting := sort.Search(len(rest), func(k int) bool { return int64(rest[k].position)-first > maxBytes })
		j = i + fitting // recent[j] is the last one that begins within the limit, and so ends the run
		if j == i {
			if !atLeastOne {
				return Place{Position: first}, true
			}
			j = i + 1
		}
	}
	return Place{first, s.recentStart(j) - first}, true
}

// recentIndex finds the first recent batch that ends at or after offset. It knows nothing of an offset before the
// oldest remembered batch, whose beginning it cannot tell, unless that is the segment's first.
func (s *Segment) recentIndex(offset int64) (int, bool) {
	if len(s.recent) == 0 {
		return 0, false
	}
	relative := s.relative(offset)
	i := sort.Search(len(s.recent), func(i int) bool { return s.recent[i].lastRelativeOffset >= relative })
	if i == len(s.recent) || (i == 0 && s.recent[0].position != 0) {
		return 0, false
	}
	return i, true
}

// recentStart is where recent[i] begins; the end of the file for the one after the last.
func (s *Segment) recentStart(i int) int64 {
	if i == len(s.recent) {
		return s.sizeBytes.Load()
	}
	return int64(s.recent[i].position)
}

// snapshot gives a view of the index that stays valid while the writer goes on.
func (s *Segment) snapshot() (index *Index, sizeBytes, nextOffset int64, err error) {
	s.mu.RLock()
	if s.index == nil {
		s.mu.RUnlock()
		if err := s.loadIndex(); err != nil {
			return nil, 0, 0, err
		}
		s.mu.RLock()
	}
	defer s.mu.RUnlock()
	if s.index == nil { // dropped again in between: do without
		return &Index{}, s.sizeBytes.Load(), s.nextOffset.Load(), nil
	}
	if s.sealed && !s.indexUsed.Load() {
		s.indexUsed.Store(true)
	}
	view := *s.index
	return &view, s.sizeBytes.Load(), s.nextOffset.Load(), nil
}

// OffsetBound is an offset that no batch before position reaches: that of the first batch in the index from there on, or where
// the segment ends. It reads no file.
func (s *Segment) OffsetBound(position int64) int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.index != nil {
		if relative, ok := s.index.offsetAt(position); ok {
			return s.base + int64(relative)
		}
	}
	return s.nextOffset.Load()
}

// find returns the first batch that ends at or after offset; no size when there is none.
func (s *Segment) find(index *Index, offset, size int64) (Place, error) {
	from := int64(0)
	if entry, ok := index.floor(s.relative(offset)); ok {
		from = int64(entry.position)
	}
	var found Place
	err := s.Headers(from, size, func(h Header) bool {
		if h.Batch.LastOffset() < offset {
			return true
		}
		found = Place{h.Position, h.SizeBytes}
		return false
	})
	return found, err
}

// Find returns the first batch that ends at or after offset; ok is false when there is none.
func (s *Segment) Find(offset int64) (place Place, ok bool, err error) {
	index, size, _, err := s.snapshot()
	if err != nil {
		return Place{}, false, err
	}
	place, err = s.find(index, offset, size)
	return place, place.SizeBytes > 0, err
}
