package segment

// MaxTimestamp is the largest timestamp in the segment and the last offset of the first batch that has it; -1, -1 for a
// segment without timestamps.
func (s *Segment) MaxTimestamp() (timestampMillis, offset int64, err error) {
	s.mu.RLock()
	known, timestampMillis, offset := s.timesKnown, s.maxTimestampMillis, s.maxTimestampOffset
	s.mu.RUnlock()
	if known {
		return timestampMillis, offset, nil
	}
	index, _, _, err := s.snapshot()
	if err != nil {
		return 0, 0, err
	}
	timestampMillis, offset = -1, -1
	if n := len(index.times); n > 0 { // the last entry of a sealed segment is its maximum
		last := index.times[n-1]
		timestampMillis, offset = last.timestampMillis, s.base+int64(last.relativeOffset)
	}
	s.mu.Lock()
	s.maxTimestampMillis, s.maxTimestampOffset, s.timesKnown = timestampMillis, offset, true
	s.mu.Unlock()
	return timestampMillis, offset, nil
}

// FindTimestamp returns the first batch, from offset on, that has a record at or after the timestamp.
func (s *Segment) FindTimestamp(timestampMillis, offset int64) (h Header, ok bool, err error) {
	index, size, _, err := s.snapshot()
	if err != nil {
		return Header{}, false, err
	}
	from := offset
	if entry, ok := index.timeFloor(timestampMillis - 1); ok {
		// Every batch up to the entry's is earlier than the timestamp.
		from = max(from, s.base+int64(entry.relativeOffset)+1)
	}
	position := int64(0)
	if entry, ok := index.floor(s.relative(from)); ok {
		position = int64(entry.position)
	}
	err = s.Headers(position, size, func(at Header) bool {
		if at.Batch.LastOffset() < offset || at.Batch.MaxTimestamp() < timestampMillis {
			return true
		}
		h, ok = Header{Position: at.Position, SizeBytes: at.SizeBytes}, true
		return false
	})
	return h, ok, err
}

// ReadFirstTimestamp is FirstTimestampMillis, read from the data of a segment that was found on disk.
func (s *Segment) ReadFirstTimestamp() (int64, error) {
	if known := s.FirstTimestampMillis(); known >= 0 {
		return known, nil
	}
	first := int64(-1)
	err := s.Headers(0, s.sizeBytes.Load(), func(h Header) bool { first = h.Batch.MaxTimestamp(); return false })
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	s.firstTimestampMillis = first
	s.mu.Unlock()
	return first, nil
}
