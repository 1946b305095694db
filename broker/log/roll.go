package log

import (
	"fmt"
	"slices"

	"github.com/millrace-io/millrace/broker/log/producer"
	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/twmb/franz-go/pkg/kerr"
)

// makeRoom sees that the active segment can take the batch after what is staged: it makes the first segment, or rolls.
func (l *Log) makeRoom(w *appendScratch, b record.Batch, cfg *Config) error {
	active := l.active()
	if active == nil {
		return l.addSegment(w.next, cfg)
	}
	size := active.SizeBytes() + int64(w.sizeBytes)
	if size == 0 {
		if !active.Fits(b.LastOffset()) {
			return fmt.Errorf("append to %s: offset %d is too far from the segment at %d: %w", l.tp, b.LastOffset(), active.BaseOffset(), kerr.InvalidRecord)
		}
		return nil
	}
	if !l.mustRoll(w, active, b, size, cfg) {
		return nil
	}
	if err := l.writeStaged(w, cfg); err != nil {
		return err
	}
	return l.roll(active, cfg)
}

func (l *Log) mustRoll(w *appendScratch, active *segment.Segment, b record.Batch, size int64, cfg *Config) bool {
	if size+int64(len(b)) > cfg.SegmentBytes || !active.Fits(b.LastOffset()) || active.IndexFull(cfg.SegmentIndexBytes) {
		return true
	}
	first := w.firstMax
	if active.SizeBytes() > 0 {
		first = active.FirstTimestampMillis()
	}
	waited := int64(0)
	if ts := b.MaxTimestamp(); first >= 0 && ts >= 0 {
		waited = ts - first
	} else {
		waited = l.now().UnixMilli() - active.CreatedMillis()
	}
	return waited > cfg.rollMillis()-l.rollJitter
}

// roll seals the active segment and begins another one at the end of the log. The snapshot lets a recovery, or a
// truncation, begin there for the producers.
func (l *Log) roll(active *segment.Segment, cfg *Config) error {
	end := l.logEnd.Load()
	if err := l.addSegment(end, cfg); err != nil {
		return err
	}
	if err := active.Seal(); err != nil && !isNoSpace(err) {
		return l.dir.fail(fmt.Errorf("roll %s: %w", l.tp, err))
	}
	if err := l.takeSnapshot(end, false); err != nil && !isNoSpace(err) {
		return l.dir.fail(fmt.Errorf("roll %s: %w", l.tp, err))
	}
	l.RequestFlush()
	return nil
}

// addSegment begins a segment, and with the first one the directory.
func (l *Log) addSegment(baseOffset int64, cfg *Config) error {
	if err := l.makeDirectory(l.dir.forgetOldCheckpoints); err != nil {
		return l.refused(nil, err)
	}
	s := segment.New(l.dir.files, l.dir.indexes, l.path, baseOffset)
	if err := s.Create(l.now()); err != nil {
		return l.refused(nil, err)
	}
	l.newNames.Or(newFileName)
	l.rollJitter = l.newJitter(cfg)
	l.setSegments(append(slices.Clone(*l.segments.Load()), s))
	return nil
}

func (l *Log) setSegments(segments []*segment.Segment) { l.segments.Store(&segments) }

// makeDirectory is the one place that takes checkpointMu (in forget) while it holds mu, against the order of the two: a
// checkpoint therefore takes no log's mu before the log is onDisk.
func (l *Log) makeDirectory(forget func(name string) error) error {
	if l.onDisk.Load() {
		return nil
	}
	if err := forget(l.tp.String()); err != nil {
		return err
	}
	if err := l.dir.fs.MkdirAll(l.path, 0o755); err != nil {
		return err
	}
	if err := segment.WriteFile(l.dir.fs, l.path+"/"+partitionFile, encodePartitionMetadata(l.tp.TopicID), false); err != nil {
		return err
	}
	l.newNames.Or(newDirName | newFileName)
	l.onDisk.Store(true)
	return nil
}

// takeSnapshot writes the producers as of the end of the log.
func (l *Log) takeSnapshot(offset int64, sync bool) error {
	table := l.producers
	if table == nil {
		table = &producer.Table{}
	}
	if err := segment.WriteFile(l.dir.fs, l.snapshotName(offset), table.EncodeSnapshot(), sync); err != nil {
		return err
	}
	l.addSnapshot(offset)
	l.bytesSinceSnapshot = 0
	return nil
}

func (l *Log) addSnapshot(offset int64) {
	if i, found := slices.BinarySearch(l.snapshots, offset); !found {
		l.snapshots = slices.Insert(l.snapshots, i, offset)
	}
}

func (l *Log) snapshotName(offset int64) string {
	return l.path + "/" + segment.FileName(offset, segment.SnapshotSuffix)
}

// MaybeRoll begins another segment when segment.ms has passed since the active one began, so that retention and the
// cleaner can come at a log that nobody writes to any more.
func (l *Log) MaybeRoll() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writableLocked(); err != nil {
		return err
	}
	active, cfg := l.active(), l.config.Load()
	if active == nil || active.SizeBytes() == 0 {
		return nil
	}
	since := active.FirstTimestampMillis()
	if since < 0 {
		since = active.CreatedMillis()
	}
	if l.now().UnixMilli()-since <= cfg.rollMillis()-l.rollJitter {
		return nil
	}
	return l.roll(active, cfg)
}

// Roll begins another segment now, unless the active one is empty.
func (l *Log) Roll() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writableLocked(); err != nil {
		return err
	}
	if active := l.active(); active != nil && active.SizeBytes() > 0 {
		return l.roll(active, l.config.Load())
	}
	return nil
}
