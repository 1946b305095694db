package segment

import (
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/vfs"
)

// maxRelativeOffset is the last offset that an index can express, from the base offset on.
const maxRelativeOffset = 1<<31 - 1

// recentKept is how many of the last batches are remembered by place, so that a reader at the tail needs no index.
const recentKept = 256

type recentBatch struct {
	lastRelativeOffset uint32
	position           uint32
}

// Segment is a part of a log. Its writer holds the log's mutex; readers may come at any time.
type Segment struct {
	files   *Files
	indexes *Indexes
	dir     string // directory of the partition
	base    int64
	file    openFile

	sizeBytes  atomic.Int64 // published end of the data file
	nextOffset atomic.Int64 // the offset after the last batch; of a sealed segment the base offset of the next one
	syncedSize atomic.Int64 // how much of the file the last sync covered; touched by the flusher and by truncation

	indexUsed      atomic.Bool
	indexHeldBytes int64 // guarded by mu of Indexes

	mu      sync.RWMutex
	suffix  string        // guarded by mu: of the file names, "" or DeletedSuffix
	index   *Index        // guarded by mu; nil: not loaded. Of the active segment always loaded
	recent  []recentBatch // guarded by mu; consecutive batches up to the end of the active segment
	aborted []AbortedTxn  // guarded by mu; without abortedLoaded only what was added since the segment was found
	// abortedLoaded says that aborted is what the .txnindex has and what is still to be written to it.
	abortedLoaded bool
	abortedDirty  bool
	sealed        bool
	rebuilt       bool // guarded by mu: the index was made from the data in this process

	maxTimestampMillis int64 // guarded by mu; valid when timesKnown
	maxTimestampOffset int64 // guarded by mu: last offset of the first batch with that timestamp
	timesKnown         bool  // guarded by mu
	// firstTimestampMillis is the largest timestamp of the first batch: segment.ms counts from there. -1: none yet.
	firstTimestampMillis int64 // guarded by mu
	createdMillis        int64 // fixed once the segment is in its log
	bytesSinceIndex      int64 // owned by the writer
	allocatedBytes       int64 // owned by the writer
}

// New describes a segment; no file is touched.
func New(files *Files, indexes *Indexes, dir string, baseOffset int64) *Segment {
	s := &Segment{files: files, indexes: indexes, dir: dir, base: baseOffset, firstTimestampMillis: -1, maxTimestampMillis: -1, maxTimestampOffset: -1}
	s.nextOffset.Store(baseOffset)
	return s
}

// Create makes the empty data file of a new active segment.
func (s *Segment) Create(now time.Time) error {
	handle, err := s.files.fs.OpenFile(s.FileName(LogSuffix), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	s.files.mu.Lock()
	s.files.makeRoom()
	s.file.handle = handle
	s.file.refs.Store(1)
	s.files.open = append(s.files.open, &s.file)
	s.files.mu.Unlock()
	s.createdMillis = now.UnixMilli()
	s.index = &Index{}
	s.abortedLoaded, s.timesKnown = true, true
	return nil
}

// BaseOffset names the segment.
func (s *Segment) BaseOffset() int64 { return s.base }

// NextOffset is the offset after the last batch.
func (s *Segment) NextOffset() int64 { return s.nextOffset.Load() }

// SizeBytes is the size of the data file.
func (s *Segment) SizeBytes() int64 { return s.sizeBytes.Load() }

// FileName is the full name of one of the segment's files.
func (s *Segment) FileName(suffix string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.fileNameLocked(suffix)
}

func (s *Segment) fileNameLocked(suffix string) string {
	return s.dir + "/" + FileName(s.base, suffix) + s.suffix
}

func (s *Segment) dataName() string { return s.FileName(LogSuffix) }

// SetSuffix says that the files, found on disk or about to be made, carry a suffix.
func (s *Segment) SetSuffix(suffix string) { s.suffix = suffix }

// EndOnDisk reads the headers of the data file for the offset after the last batch.
func (s *Segment) EndOnDisk() (int64, error) {
	file, err := s.Acquire()
	if err != nil {
		return 0, err
	}
	defer s.Release()
	size, err := file.Size()
	if err != nil {
		return 0, err
	}
	end := s.base
	err = s.Headers(0, size, func(h Header) bool {
		end = h.Batch.NextOffset()
		return true
	})
	return end, err
}

// Acquire pins the open data file until Release.
func (s *Segment) Acquire() (vfs.File, error) {
	if s.file.pin() {
		return s.file.handle, nil
	}
	if err := s.files.acquire(&s.file, s.dataName, os.O_RDWR); err != nil {
		return nil, err
	}
	return s.file.handle, nil
}

// Release undoes one Acquire.
func (s *Segment) Release() { s.files.unpin(&s.file) }

// SetSealed describes a segment found on disk that is not the last one.
func (s *Segment) SetSealed(sizeBytes, nextOffset int64) {
	s.sizeBytes.Store(sizeBytes)
	s.syncedSize.Store(sizeBytes)
	s.nextOffset.Store(nextOffset)
	s.sealed = true
}

// Sealed says that nothing is appended any more.
func (s *Segment) Sealed() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.sealed
}

// Sync makes the published bytes durable and returns how many were new.
func (s *Segment) Sync() (newBytes int64, err error) {
	handle, err := s.Acquire()
	if err != nil {
		return 0, err
	}
	defer s.Release()
	newBytes = s.BeginSync()
	return newBytes, handle.Sync()
}

// BeginSync is called before a sync that covers the file: what is written from here on is dirty again.
func (s *Segment) BeginSync() (newBytes int64) {
	s.file.dirty.Store(false)
	size := s.sizeBytes.Load()
	return size - s.syncedSize.Swap(size)
}

// Close gives up the descriptor and the memory of the index. Pinned readers may finish.
func (s *Segment) Close() {
	s.files.close(&s.file)
	s.indexes.remove(s)
}

// Rename gives the segment's files another suffix; files that do not exist are passed over. Where the segment is to
// disappear the data file goes first: a crash leaves indexes without data, which the next start removes. Where it is to
// appear the data file comes last: with it the rest is there.
func (s *Segment) Rename(suffix string) error {
	s.mu.RLock()
	old := s.suffix
	s.mu.RUnlock()
	kinds := []string{LogSuffix, IndexSuffix, TimeIndexSuffix, TxnIndexSuffix}
	if suffix != DeletedSuffix {
		slices.Reverse(kinds)
	}
	for _, kind := range kinds {
		name := s.dir + "/" + FileName(s.base, kind)
		if err := s.files.fs.Rename(name+old, name+suffix); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	s.mu.Lock()
	s.suffix = suffix
	s.mu.Unlock()
	return nil
}

// Remove deletes the files.
func (s *Segment) Remove() error {
	for _, kind := range [...]string{LogSuffix, IndexSuffix, TimeIndexSuffix, TxnIndexSuffix} {
		if err := s.files.fs.Remove(s.FileName(kind)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

// ModTime is when the data file was last written.
func (s *Segment) ModTime() (time.Time, error) {
	info, err := s.files.fs.Stat(s.FileName(LogSuffix))
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

func (s *Segment) corrupt(position int64, reason string) error {
	return &CorruptError{File: s.FileName(LogSuffix), Offset: position, Reason: reason}
}

// relative expresses an offset for the indexes.
func (s *Segment) relative(offset int64) uint32 {
	switch delta := offset - s.base; {
	case delta < 0:
		return 0
	case delta > maxRelativeOffset:
		return maxRelativeOffset
	default:
		return uint32(delta)
	}
}

// Fits says that the indexes can express the offset.
func (s *Segment) Fits(offset int64) bool {
	return offset-s.base <= maxRelativeOffset && offset >= s.base
}

// headerFault says why p cannot begin a batch that ends by position end; "" when it can.
func headerFault(p []byte, position, end int64) (size int64, fault string) {
	if len(p) < record.HeaderSize {
		return 0, "the file ends inside a batch header"
	}
	size = int64(int32(uint32(p[8])<<24|uint32(p[9])<<16|uint32(p[10])<<8|uint32(p[11]))) + 12
	b := record.Batch(p[:record.HeaderSize])
	switch {
	case size < record.HeaderSize:
		return 0, "the batch length is impossible"
	case b.Magic() != 2:
		return 0, "the magic byte is not 2"
	case b.LastOffsetDelta() < 0 || b.BaseOffset() < 0:
		return 0, "the batch has impossible offsets"
	case size > end-position:
		return 0, "the file ends inside a batch"
	}
	return size, ""
}
