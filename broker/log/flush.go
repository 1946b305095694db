package log

import (
	"os"
	"time"

	"github.com/millrace-io/millrace/broker/log/segment"
)

// RequestFlush asks the directory's flusher to make the log durable and returns at once; Hooks.Flushed reports.
func (l *Log) RequestFlush() { l.dir.flusher.request(l) }

// RequestFlushes is RequestFlush for many logs, so that those of a directory go into one round: asked for one by one, the
// first would be flushed alone while the others wait for the round after it.
func RequestFlushes(logs []*Log) {
	var last *flusher
	for _, l := range logs {
		f := l.dir.flusher
		if f != last {
			if last != nil {
				last.mu.Unlock()
				last.begin()
			}
			f.mu.Lock()
			last = f
		}
		if l.flushQueued.CompareAndSwap(false, true) {
			f.queue = append(f.queue, l)
		}
	}
	if last != nil {
		last.mu.Unlock()
		last.begin()
	}
}

// Flush waits until everything appended before the call is on disk.
func (l *Log) Flush() error {
	if l.flushed.Load() < l.logEnd.Load() {
		l.RequestFlush()
	}
	return l.AwaitFlush()
}

// AwaitFlush is Flush for who has asked for it already, after the last append.
func (l *Log) AwaitFlush() error {
	target := l.logEnd.Load()
	if l.flushed.Load() >= target {
		return l.Err()
	}
	return l.dir.flusher.await(func() bool {
		return l.flushed.Load() >= min(target, l.logEnd.Load()) || l.failure.Load() != nil
	})
}

// flushTarget is called by the flusher: what has to be synced so that everything below end is durable. The end is read
// before the names and the segments: those of later appends may be in, too, which does no harm.
func (l *Log) flushTarget() (t flushTarget, ok bool) {
	l.flushMu.Lock()
	t = flushTarget{log: l, truncation: l.truncations}
	from := l.flushed.Load()
	l.flushMu.Unlock()
	t.end = l.logEnd.Load()
	if l.failure.Load() != nil || (t.end <= from && l.newNames.Load() == 0) {
		return t, false
	}
	t.names = l.newNames.Swap(0)
	segments := *l.segments.Load()
	for i := len(segments) - 1; i >= 0; i-- {
		s := segments[i]
		if s.NextOffset() <= from {
			break
		}
		t.segments = append(t.segments, s)
	}
	return t, true
}

// flushDone is called by the flusher, once what flushTarget named is on disk.
func (l *Log) flushDone(t *flushTarget) {
	l.flushMu.Lock()
	if l.truncations != t.truncation {
		l.flushMu.Unlock()
		l.RequestFlush() // the log was cut meanwhile: what end means has changed
		return
	}
	l.flushed.Store(max(t.end, l.flushed.Load()))
	l.flushMu.Unlock()
	l.lastFlush.Store(l.now().UnixMilli())
	if l.hooks.Flushed != nil {
		l.hooks.Flushed(t.end)
	}
}

// flushDue says that flush.ms has passed with something unflushed.
func (l *Log) flushDue(now time.Time) bool {
	interval := l.config.Load().FlushMillis
	return interval != never && l.flushed.Load() < l.logEnd.Load() && now.UnixMilli()-l.lastFlush.Load() >= interval
}

func (l *Log) syncMetadataFile() error {
	file, err := l.dir.fs.OpenFile(l.path+"/"+partitionFile, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	return file.Sync()
}

// sidecars makes durable what recovery cannot find again once the recovery point has passed it: leader epochs and
// aborted transactions. With producers, a snapshot bounds how much has to be replayed.
func (l *Log) sidecars() error {
	written := false
	for _, s := range *l.segments.Load() {
		wrote, err := s.WriteAborted()
		if err != nil {
			return err
		}
		written = written || wrote
	}
	if p, changed := l.epochs.take(); changed {
		if err := l.writeEpochs(p); err != nil {
			l.epochs.untake()
			return err
		}
	}
	snapshot, err := l.snapshotForCheckpoint()
	if err != nil {
		return err
	}
	if written || snapshot {
		return l.dir.fs.SyncDir(l.path)
	}
	return nil
}

// snapshotForCheckpoint writes outside mu: an append must not wait for an fsync. The caller holds checkpointMu, so that
// nothing is truncated meanwhile.
func (l *Log) snapshotForCheckpoint() (bool, error) {
	l.mu.Lock()
	if l.closed || l.producers == nil || l.producers.Len() == 0 || l.bytesSinceSnapshot < l.dir.cfg.SnapshotIntervalBytes {
		l.mu.Unlock()
		return false, nil
	}
	offset, p := l.logEnd.Load(), l.producers.EncodeSnapshot()
	l.bytesSinceSnapshot = 0
	l.mu.Unlock()
	if err := segment.WriteFile(l.dir.fs, l.snapshotName(offset), p, true); err != nil {
		return false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.addSnapshot(offset)
	return true, l.removeStraySnapshots()
}

// removeStraySnapshots keeps the snapshots at the base offset of a segment, and of the others the last one.
func (l *Log) removeStraySnapshots() error {
	segments := *l.segments.Load()
	bases := make(map[int64]bool, len(segments))
	for _, s := range segments {
		bases[s.BaseOffset()] = true
	}
	kept := make([]int64, 0, len(l.snapshots))
	stray := int64(-1)
	for _, offset := range l.snapshots {
		if !bases[offset] {
			stray = max(stray, offset)
		}
	}
	for _, offset := range l.snapshots {
		if bases[offset] || offset == stray {
			kept = append(kept, offset)
			continue
		}
		if err := l.dir.fs.Remove(l.snapshotName(offset)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	l.snapshots = kept
	return nil
}

// writeForStop writes what makes the next start quick: the index of the active segment and the producers.
func (l *Log) writeForStop() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	active := l.active()
	if !l.warm.Load() || active == nil || l.failure.Load() != nil || l.closed {
		return l.Err()
	}
	if active.SizeBytes() > smallLogBytes {
		if err := active.WriteIndex(); err != nil {
			return err
		}
	}
	known := l.producers != nil && l.producers.Len() > 0
	end := l.logEnd.Load()
	if n := len(l.snapshots); n > 0 && l.snapshots[n-1] == end && l.bytesSinceSnapshot == 0 {
		return nil
	}
	if known || active.SizeBytes() > smallLogBytes {
		return l.takeSnapshot(end, false)
	}
	return nil
}

// smallLogBytes is up to how much of an active segment is read anew at a start rather than kept track of in files.
const smallLogBytes = 16 << 10
