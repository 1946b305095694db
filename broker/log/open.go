package log

import (
	"fmt"

	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/record"
)

// load gets a log that has a directory ready. After a clean stop it only lists the files: the rest waits for the first
// use (warmUp), so that a start with very many partitions is quick.
func (l *Log) load(adopt bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.onDisk.Store(true)
	if adopt {
		if err := segment.WriteFile(l.dir.fs, l.path+"/"+partitionFile, encodePartitionMetadata(l.tp.TopicID), false); err != nil {
			return err
		}
		l.newNames.Or(newDirName)
	}
	found, err := l.list()
	if err != nil {
		return err
	}
	l.snapshots = found.snapshots
	l.dir.checkpointMu.Lock()
	name := l.tp.String()
	recoveryPoint, known := l.dir.recoveryPoints.offsets[name]
	logStart := l.dir.logStarts.offsets[name]
	l.dir.checkpointMu.Unlock()
	if len(found.bases) == 0 {
		return l.loadEmpty(recoveryPoint, logStart)
	}
	segments := make([]*segment.Segment, len(found.bases))
	for i, base := range found.bases {
		segments[i] = segment.New(l.dir.files, l.dir.indexes, l.path, base)
	}
	logStart = max(logStart, found.bases[0])
	l.logStart.Store(logStart)
	last := len(segments) - 1
	if l.dir.cleanStop && known && recoveryPoint >= found.bases[last] && logStart <= recoveryPoint {
		if err := l.sealEarlier(segments, last); err != nil {
			return err
		}
		l.setSegments(segments)
		l.logEnd.Store(recoveryPoint)
		l.flushed.Store(recoveryPoint)
		l.warm.Store(false)
		l.epochsLoaded.Store(false)
		return nil
	}
	return l.recover(segments, max(recoveryPoint, found.bases[0]))
}

// loadEmpty is a directory without data: it was made just before a crash, or the log was being restarted elsewhere.
func (l *Log) loadEmpty(recoveryPoint, logStart int64) error {
	if recoveryPoint > 0 {
		return &CorruptError{File: l.path, Reason: fmt.Sprintf("no segment is there, the recovery point is %d", recoveryPoint)}
	}
	for _, offset := range l.snapshots {
		if err := l.removeFile(segment.FileName(offset, segment.SnapshotSuffix)); err != nil {
			return err
		}
	}
	l.snapshots = nil
	l.logStart.Store(logStart)
	l.logEnd.Store(logStart)
	l.flushed.Store(logStart)
	l.newNames.Or(newDirName)
	return nil
}

// warmUp loads what Open left for later.
func (l *Log) warmUp() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	if l.warm.Load() {
		return l.Err()
	}
	return l.warmUpLocked()
}

func (l *Log) warmUpLocked() error {
	if err := l.readAfterCleanStop(); err != nil {
		return l.fail(err)
	}
	l.warm.Store(true)
	return nil
}

func (l *Log) readAfterCleanStop() error {
	lost, err := l.readEpochs()
	if err != nil {
		return err
	}
	end, active := l.logEnd.Load(), l.active()
	_, tailBytes, err := active.OpenActive(end, l.config.Load().IndexIntervalBytes, l.now(), func(record.Batch) error { return nil })
	if err != nil {
		return err
	}
	if active.NextOffset() != end || tailBytes > 0 {
		return &CorruptError{File: active.FileName(segment.LogSuffix), Offset: active.SizeBytes(),
			Reason: fmt.Sprintf("the log ended at offset %d at the clean stop, now at %d", end, active.NextOffset())}
	}
	if err := l.settleEpochs(lost); err != nil {
		return err
	}
	return l.loadProducers(end, end)
}
