package log

import (
	"fmt"
	"slices"

	"github.com/millrace-io/millrace/broker/log/producer"
	"github.com/millrace-io/millrace/broker/log/segment"
)

// TruncateTo cuts the log so that it ends at or before offset; what a follower does when its log diverges from the
// leader's.
func (l *Log) TruncateTo(offset int64) error {
	if offset < 0 {
		return fmt.Errorf("truncate %s to %d: %w", l.tp, offset, ErrOffsetOutOfRange)
	}
	l.dir.checkpointMu.Lock()
	defer l.dir.checkpointMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writableLocked(); err != nil {
		return err
	}
	if offset >= l.logEnd.Load() {
		return nil
	}
	segments := *l.segments.Load()
	if len(segments) == 0 || offset <= segments[0].BaseOffset() {
		return l.restart(offset)
	}
	if err := l.dir.lowerRecoveryPoint(l.tp.String(), offset); err != nil {
		return err
	}
	if err := l.dir.lowerCleaned(l.tp.String(), offset); err != nil {
		return err
	}
	keep := segmentIndex(segments, offset)
	end := segments[keep].BaseOffset()
	if offset > end {
		var err error
		if end, err = l.cutPoint(segments[keep], offset); err != nil {
			return l.fail(err)
		}
	}
	l.moveEnd(end)
	if err := l.truncateFiles(segments, keep, offset); err != nil {
		return l.storageError("truncate", err)
	}
	if err := l.loadProducers(end, end); err != nil {
		return l.storageError("truncate", err)
	}
	return nil
}

// cutPoint is where the log ends when the batch that holds offset, and what follows it, is gone.
func (l *Log) cutPoint(s *segment.Segment, offset int64) (int64, error) {
	place, ok, err := s.Find(offset)
	if err != nil || !ok {
		return min(offset, s.NextOffset()), err
	}
	end := s.BaseOffset()
	err = s.Headers(0, place.Position, func(h segment.Header) bool {
		end = h.Batch.NextOffset()
		return true
	})
	return end, err
}

// moveEnd tells readers and the flusher first.
func (l *Log) moveEnd(end int64) {
	l.lent.clear()
	l.flushMu.Lock()
	l.truncations++
	l.logEnd.Store(end)
	l.flushed.Store(min(l.flushed.Load(), end))
	l.flushMu.Unlock()
	if l.logStart.Load() > end {
		l.logStart.Store(end)
	}
	if l.highWatermark.Load() > end {
		l.highWatermark.Store(end)
	}
	l.epochs.truncateFromEnd(end)
	l.lastEpoch = noEpoch
	if epoch, ok := l.epochs.latest(); ok {
		l.lastEpoch = epoch
	}
}

// truncateFiles removes the segments behind keep, the last one first and each durably before the one before it, so that
// a crash leaves no gap.
func (l *Log) truncateFiles(segments []*segment.Segment, keep int, offset int64) error {
	for i := len(segments) - 1; i > keep; i-- {
		l.setSegments(slices.Clone(segments[:i]))
		if err := l.removeSegment(segments[i]); err != nil {
			return err
		}
		if err := l.dir.fs.SyncDir(l.path); err != nil {
			return err
		}
	}
	l.newNames.Or(newFileName)
	return segments[keep].TruncateTo(offset, l.config.Load().IndexIntervalBytes)
}

func (l *Log) removeSegment(s *segment.Segment) error {
	if err := s.Rename(segment.DeletedSuffix); err != nil {
		return err
	}
	s.Close()
	return s.Remove()
}

// TruncateFullyAndStartAt empties the log and lets it begin at another offset.
func (l *Log) TruncateFullyAndStartAt(offset int64) error {
	if offset < 0 {
		return fmt.Errorf("restart %s at %d: %w", l.tp, offset, ErrOffsetOutOfRange)
	}
	l.dir.checkpointMu.Lock()
	defer l.dir.checkpointMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writableLocked(); err != nil {
		return err
	}
	return l.restart(offset)
}

// restart removes every segment and begins another one at offset. The recovery point on disk goes to zero first: until
// the new segment exists, an empty directory is what a crash may leave. The caller holds checkpointMu and mu.
func (l *Log) restart(offset int64) error {
	if err := l.dir.lowerRecoveryPoint(l.tp.String(), 0); err != nil {
		return err
	}
	if err := l.dir.lowerCleaned(l.tp.String(), offset); err != nil {
		return err
	}
	l.flushMu.Lock()
	l.truncations++
	l.flushed.Store(offset)
	l.logEnd.Store(offset)
	l.logStart.Store(offset)
	l.flushMu.Unlock()
	l.highWatermark.Store(min(l.highWatermark.Load(), offset))
	l.epochs.clear()
	l.lastEpoch, l.producers = noEpoch, nil
	l.firstUnstable.Store(producer.None)
	segments := *l.segments.Load()
	for i := len(segments) - 1; i >= 0; i-- {
		l.setSegments(slices.Clone(segments[:i]))
		if err := l.removeSegment(segments[i]); err != nil {
			return l.storageError("restart", err)
		}
		if err := l.dir.fs.SyncDir(l.path); err != nil {
			return l.storageError("restart", err)
		}
	}
	for _, snapshot := range l.snapshots {
		if err := l.removeFile(segment.FileName(snapshot, segment.SnapshotSuffix)); err != nil {
			return l.storageError("restart", err)
		}
	}
	l.snapshots, l.bytesSinceSnapshot = nil, 0
	if offset == 0 && !l.onDisk.Load() {
		return nil
	}
	if err := l.makeDirectory(l.dir.forgetLocked); err != nil {
		return l.refused(nil, err)
	}
	return l.addSegment(offset, l.config.Load())
}

// storageError is for work that leaves the log half changed when it fails: corrupt bytes take the partition offline,
// anything else the directory.
func (l *Log) storageError(verb string, err error) error {
	if l.corrupted(err) || l.failure.Load() != nil {
		return err
	}
	return l.dir.fail(fmt.Errorf("%s %s: %w", verb, l.tp, err))
}

// IncrementLogStartOffset moves the first offset that may be read: DeleteRecords. It never moves back; that it does not
// pass the high watermark is the caller's care. Segments wholly below are removed by the next ApplyRetention.
func (l *Log) IncrementLogStartOffset(offset int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writableLocked(); err != nil {
		return err
	}
	if offset > l.logEnd.Load() {
		return fmt.Errorf("move log start offset of %s to %d: %w", l.tp, offset, ErrOffsetOutOfRange)
	}
	l.moveStart(offset)
	return nil
}

func (l *Log) moveStart(offset int64) {
	if offset <= l.logStart.Load() {
		return
	}
	l.logStart.Store(offset)
	l.epochs.truncateFromStart(offset)
	if l.producers != nil {
		l.producers.SetHighWatermark(offset)
		l.firstUnstable.Store(l.producers.FirstUnstableOffset())
	}
}
