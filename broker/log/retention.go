package log

import (
	"errors"
	"os"
	"slices"
	"time"

	"github.com/millrace-io/millrace/broker/log/segment"
)

// ApplyRetention removes segments that are too old, too many, or wholly below the log start offset; never one that
// reaches beyond the high watermark. A log all of whose records have expired gets an empty segment.
func (l *Log) ApplyRetention(highWatermark int64) (deletedSegments int, deletedBytes int64, err error) {
	if err := l.usable(); err != nil {
		return 0, 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writableLocked(); err != nil {
		return 0, 0, err
	}
	n, err := l.expired(highWatermark)
	if n == 0 || err != nil {
		return 0, 0, l.fail(err)
	}
	segments := *l.segments.Load()
	if n == len(segments) {
		if err := l.roll(l.active(), l.config.Load()); err != nil {
			return 0, 0, err
		}
		segments = *l.segments.Load()
	}
	for _, s := range segments[:n] {
		deletedBytes += s.SizeBytes()
	}
	if err := l.dropFirst(segments, n); err != nil {
		return 0, 0, l.storageError("delete segments of", err)
	}
	return n, deletedBytes, nil
}

// expired counts the segments, from the first on, that may go.
func (l *Log) expired(highWatermark int64) (int, error) {
	cfg := l.config.Load()
	segments := *l.segments.Load()
	start, now := l.logStart.Load(), l.now().UnixMilli()
	var size int64
	for _, s := range segments {
		size += s.SizeBytes()
	}
	for i, s := range segments {
		last := i == len(segments)-1
		if s.NextOffset() > highWatermark || (last && s.SizeBytes() == 0) {
			return i, nil
		}
		gone := !last && s.NextOffset() <= start
		if !gone && cfg.Delete {
			var err error
			if gone, err = l.retentionOver(s, size, now, cfg); err != nil {
				return 0, err
			}
		}
		if !gone {
			return i, nil
		}
		size -= s.SizeBytes()
	}
	return len(segments), nil
}

// retentionOver holds one segment, the first of those that are left with sizeBytes together, against the settings.
func (l *Log) retentionOver(s *segment.Segment, sizeBytes, nowMillis int64, cfg *Config) (bool, error) {
	if cfg.RetentionBytes >= 0 && s.SizeBytes() > 0 && sizeBytes-s.SizeBytes() >= cfg.RetentionBytes {
		return true, nil
	}
	if cfg.RetentionMillis < 0 {
		return false, nil
	}
	latest, err := l.latestTimestamp(s)
	return nowMillis-latest > cfg.RetentionMillis, err
}

// latestTimestamp is the largest timestamp of a segment; without any, when it was last written.
func (l *Log) latestTimestamp(s *segment.Segment) (int64, error) {
	timestamp, _, err := s.MaxTimestamp()
	if err != nil || timestamp >= 0 {
		return timestamp, err
	}
	modified, err := s.ModTime()
	return modified.UnixMilli(), err
}

// dropFirst takes the first n segments out of the log. Their files are renamed in order, each durably before the next,
// so that a crash leaves no gap, and removed after file.delete.delay.ms, so that readers may finish.
func (l *Log) dropFirst(segments []*segment.Segment, n int) error {
	if err := l.syncSnapshots(segments[1 : n+1]); err != nil {
		return err
	}
	l.moveStart(segments[n].BaseOffset())
	l.setSegments(slices.Clone(segments[n:]))
	for _, s := range segments[:n] {
		if err := l.retire(s); err != nil {
			return err
		}
		if err := l.dir.fs.SyncDir(l.path); err != nil {
			return err
		}
	}
	return l.dropSnapshotsBefore(segments[n].BaseOffset())
}

// syncSnapshots sees to it that what is known of producers where any of the segments begins outlives a power loss: once the batches
// before it are gone, nothing else tells that one of them comes again. A crash may leave any of the segments the first.
func (l *Log) syncSnapshots(segments []*segment.Segment) error {
	for _, s := range segments {
		if err := l.syncSnapshot(s.BaseOffset()); err != nil {
			return err
		}
	}
	return l.dir.fs.SyncDir(l.path)
}

func (l *Log) syncSnapshot(offset int64) error {
	if _, found := slices.BinarySearch(l.snapshots, offset); !found {
		return nil
	}
	file, err := l.dir.fs.OpenFile(l.snapshotName(offset), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// retire renames a segment's files and schedules their removal.
func (l *Log) retire(s *segment.Segment) error {
	if err := s.Rename(segment.DeletedSuffix); err != nil {
		return err
	}
	s.Close()
	l.dir.keeper.later(l.deleteDelay(), s.Remove)
	return nil
}

func (l *Log) deleteDelay() time.Duration {
	return time.Duration(l.config.Load().FileDeleteDelayMillis) * time.Millisecond
}

func (l *Log) dropSnapshotsBefore(offset int64) error {
	i, _ := slices.BinarySearch(l.snapshots, offset)
	var errs []error
	for _, snapshot := range l.snapshots[:i] {
		errs = append(errs, l.removeFile(segment.FileName(snapshot, segment.SnapshotSuffix)))
	}
	l.snapshots = slices.Clone(l.snapshots[i:])
	return errors.Join(errs...)
}
