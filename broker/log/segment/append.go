package segment

// Placed is one batch of an append.
type Placed struct {
	LastOffset         int64
	MaxTimestampMillis int64
	SizeBytes          int
}

// Write puts bufs, of sizeBytes together, at the end of the data file, without publishing them. On an error the bytes
// may be there in part: Cut takes them away, or the next Write overwrites them.
func (s *Segment) Write(bufs [][]byte, sizeBytes int) error {
	file, err := s.Acquire()
	if err != nil {
		return err
	}
	defer s.Release()
	s.file.dirty.Store(true)
	at := s.sizeBytes.Load()
	switch {
	case len(bufs) == 1:
		_, err = file.WriteAt(bufs[0], at)
	case sizeBytes <= InlineBytes: // copying costs less than what a vectored write allocates
		buffer := s.files.Buffer()
		p := buffer[:0]
		for _, b := range bufs {
			p = append(p, b...)
		}
		_, err = file.WriteAt(p, at)
		s.files.PutBuffer(buffer)
	default:
		_, err = file.Writev(bufs, at)
	}
	return err
}

// Cut removes whatever lies behind the published end.
func (s *Segment) Cut() error {
	file, err := s.Acquire()
	if err != nil {
		return err
	}
	defer s.Release()
	return file.Truncate(s.sizeBytes.Load())
}

// Allocate reserves room up to sizeBytes ahead of the writer, in steps, once the segment has filled one step: small
// logs stay small. A failure does not matter, the write will tell.
func (s *Segment) Allocate(stepBytes, maxBytes int64) {
	size := s.sizeBytes.Load()
	if stepBytes <= 0 || size < stepBytes || size+stepBytes/2 < s.allocatedBytes || s.allocatedBytes >= maxBytes {
		return
	}
	s.allocatedBytes = min(size+stepBytes, maxBytes)
	if file, err := s.Acquire(); err == nil {
		_ = file.Allocate(s.allocatedBytes)
		s.Release()
	}
}

// Commit publishes what Write wrote.
func (s *Segment) Commit(batches []Placed, indexIntervalBytes int64) {
	s.mu.Lock()
	for i := range batches {
		s.note(&batches[i], indexIntervalBytes)
	}
	s.mu.Unlock()
}

// note takes in one batch at the end of the segment.
func (s *Segment) note(b *Placed, indexIntervalBytes int64) {
	position := s.sizeBytes.Load()
	relative := s.relative(b.LastOffset)
	if b.MaxTimestampMillis > s.maxTimestampMillis {
		s.maxTimestampMillis, s.maxTimestampOffset = b.MaxTimestampMillis, b.LastOffset
	}
	if position == 0 {
		s.firstTimestampMillis = b.MaxTimestampMillis
	}
	if s.bytesSinceIndex > indexIntervalBytes {
		s.index.addOffset(relative, uint32(position))
		if s.maxTimestampOffset >= s.base {
			s.index.addTime(s.maxTimestampMillis, s.relative(s.maxTimestampOffset))
		}
		s.bytesSinceIndex = 0
	}
	s.bytesSinceIndex += int64(b.SizeBytes)
	s.remember(recentBatch{lastRelativeOffset: relative, position: uint32(position)})
	s.sizeBytes.Store(position + int64(b.SizeBytes))
	s.nextOffset.Store(b.LastOffset + 1)
}

func (s *Segment) remember(b recentBatch) {
	if len(s.recent) == 2*recentKept {
		s.recent = s.recent[:copy(s.recent, s.recent[recentKept:])]
	}
	s.recent = append(s.recent, b)
}

// IndexFull says that the next index entry would pass segment.index.bytes.
func (s *Segment) IndexFull(maxIndexBytes int64) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return int64(len(s.index.offsets)) >= maxIndexBytes/offsetEntrySize ||
		int64(len(s.index.times)) >= maxIndexBytes/timeEntrySize-1
}

// FirstTimestampMillis is what segment.ms counts from: the largest timestamp of the first batch, -1 when it has none.
func (s *Segment) FirstTimestampMillis() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.firstTimestampMillis
}

// CreatedMillis is when the segment became the active one in this process.
func (s *Segment) CreatedMillis() int64 { return s.createdMillis }

// Seal ends the writing: the time index gets its last entry, and the index files are written. An error leaves the
// segment sealed all the same, without index files: they are made from the data when needed.
func (s *Segment) Seal() error {
	s.mu.Lock()
	if s.maxTimestampOffset >= s.base {
		s.index.addTime(s.maxTimestampMillis, s.relative(s.maxTimestampOffset))
	}
	s.sealed, s.recent = true, nil
	index := s.index
	s.mu.Unlock()
	err := s.writeIndex(index)
	s.indexUsed.Store(true)
	s.indexes.add(s, index.sizeBytes())
	if s.allocatedBytes > s.sizeBytes.Load() {
		_ = s.Cut() // gives the room behind the end back; best effort
	}
	return err
}

// AddAborted notes an aborted transaction whose marker was just committed.
func (s *Segment) AddAborted(txn AbortedTxn) {
	s.mu.Lock()
	s.aborted = append(s.aborted, txn)
	s.abortedDirty = true
	s.mu.Unlock()
}
