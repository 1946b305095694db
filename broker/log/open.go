package log

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/millrace-io/millrace/broker/log/producer"
	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/vfs"
)

// listing is what lies in a partition's directory.
type listing struct {
	bases     []int64 // of the .log files, rising
	snapshots []int64 // rising
	swaps     []int64 // base offsets of .log.swap files
}

// list reads the directory and removes what interrupted work left: deleted files, unfinished output of the cleaner,
// indexes without data.
func (l *Log) list() (found listing, err error) {
	entries, err := l.dir.fs.ReadDir(l.path)
	if err != nil {
		return found, err
	}
	var indexes, orphans []string // orphans: indexes of output whose data file has its name already
	cleaned := false
	for _, e := range entries {
		name := e.Name()
		base, suffix, ok := segment.ParseFileName(name)
		switch {
		case strings.HasSuffix(name, segment.DeletedSuffix):
			err = l.removeFile(name)
		case strings.HasSuffix(name, segment.CleanedSuffix):
			cleaned = true
		case strings.HasSuffix(name, ".tmp"):
			err = l.removeFile(name)
		case strings.HasSuffix(name, segment.SwapSuffix):
			if ok && suffix == segment.LogSuffix+segment.SwapSuffix {
				found.swaps = append(found.swaps, base)
			} else {
				orphans = append(orphans, name)
			}
		case !ok:
		case suffix == segment.LogSuffix:
			found.bases = append(found.bases, base)
		case suffix == segment.SnapshotSuffix:
			found.snapshots = append(found.snapshots, base)
		case suffix == segment.IndexSuffix || suffix == segment.TimeIndexSuffix || suffix == segment.TxnIndexSuffix:
			indexes = append(indexes, name)
		}
		if err != nil {
			return found, err
		}
	}
	if cleaned || len(found.swaps) > 0 {
		if err := l.finishSwap(entries, found); err != nil {
			return found, err
		}
		return l.list()
	}
	for _, name := range orphans {
		if err := l.removeFile(name); err != nil {
			return found, err
		}
	}
	slices.Sort(found.bases)
	slices.Sort(found.snapshots)
	for _, name := range indexes {
		base, _, _ := segment.ParseFileName(name)
		if _, ok := slices.BinarySearch(found.bases, base); !ok {
			if err := l.removeFile(name); err != nil {
				return found, err
			}
		}
	}
	return found, nil
}

func (l *Log) removeFile(name string) error {
	if err := l.dir.fs.Remove(l.path + "/" + name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

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

// sealEarlier describes segments[:n], all of them before the active one.
func (l *Log) sealEarlier(segments []*segment.Segment, n int) error {
	for i, s := range segments[:n] {
		info, err := l.dir.fs.Stat(s.FileName(segment.LogSuffix))
		if err != nil {
			return err
		}
		if info.Size() == 0 && !l.config.Load().Compact {
			return &CorruptError{File: s.FileName(segment.LogSuffix), Reason: "a segment before the last one is empty"}
		}
		s.SetSealed(info.Size(), segments[i+1].BaseOffset())
	}
	return nil
}

// recover reads what lies behind the recovery point batch by batch and cuts the log at the first fault. Segments before
// it are taken as they are.
func (l *Log) recover(segments []*segment.Segment, recoveryPoint int64) error {
	first := segmentIndex(segments, recoveryPoint)
	if err := l.sealEarlier(segments, first); err != nil {
		return err
	}
	lost, err := l.readEpochs()
	if err != nil {
		return err
	}
	l.epochs.truncateFromEnd(recoveryPoint) // later ones come back with their batches
	interval := l.config.Load().IndexIntervalBytes
	visit := func(b record.Batch) error {
		l.epochs.assign(b.PartitionLeaderEpoch(), b.BaseOffset())
		return nil
	}
	for i := first; i < len(segments); i++ {
		s := segments[i]
		torn, tailBytes, err := s.OpenActive(recoveryPoint, interval, l.now(), visit)
		if err != nil {
			return err
		}
		next := s.NextOffset()
		if next < recoveryPoint {
			return &CorruptError{File: s.FileName(segment.LogSuffix), Offset: s.SizeBytes(),
				Reason: fmt.Sprintf("the log ends at offset %d, below the recovery point %d", next, recoveryPoint)}
		}
		last := i == len(segments)-1
		if torn != nil || (!last && next != segments[i+1].BaseOffset()) {
			if err := l.checkTorn(segments[i+1:], s, torn); err != nil {
				return err
			}
			if err := l.cutTail(segments[i+1:], s, tailBytes, torn); err != nil {
				return err
			}
			segments = segments[:i+1]
			break
		}
		if !last {
			if err := s.Seal(); err != nil && !isNoSpace(err) {
				return err
			}
		}
	}
	return l.recovered(segments, recoveryPoint, lost)
}

func (l *Log) recovered(segments []*segment.Segment, recoveryPoint int64, epochsLost bool) error {
	end := segments[len(segments)-1].NextOffset()
	l.setSegments(segments)
	l.logEnd.Store(end)
	l.flushed.Store(min(recoveryPoint, end))
	l.newNames.Or(newDirName | newFileName) // whether the names are durable is not known
	if l.logStart.Load() > end {
		l.dir.logger.Warn("log ends before its start offset: all its segments are removed", "partition", l.tp.String(),
			"log_start_offset", l.logStart.Load(), "log_end_offset", end)
		l.dir.checkpointMu.Lock()
		defer l.dir.checkpointMu.Unlock()
		return l.restart(l.logStart.Load())
	}
	if err := l.settleEpochs(epochsLost && recoveryPoint > segments[0].BaseOffset()); err != nil {
		return err
	}
	return l.loadProducers(recoveryPoint, recoveryPoint)
}

// checkTorn holds a tail that is to be cut against what an unclean stop can leave. A process that is killed leaves one torn
// append, at the very end: when nothing was lost since, a sound batch behind the fault proves that the bytes before it have
// changed. After a power failure it proves nothing, since pages get to the disk in any order.
func (l *Log) checkTorn(behind []*segment.Segment, s *segment.Segment, torn error) error {
	if !l.dir.keptPages {
		return nil
	}
	from := s.SizeBytes()
	for _, later := range append([]*segment.Segment{s}, behind...) {
		at, err := later.SoundBehind(from, s.NextOffset())
		if err != nil {
			return err
		}
		if at >= 0 {
			return &CorruptError{File: s.FileName(segment.LogSuffix), Offset: s.SizeBytes(), Reason: fmt.Sprintf(
				"%v, but a sound batch follows at byte %d of %s, and the page cache was not lost since they were written: it is not a torn tail",
				cmp.Or(torn, errGap), at, later.FileName(segment.LogSuffix))}
		}
		from = 0
	}
	return nil
}

var errGap = errors.New("records are missing")

// cutTail says what an unclean stop cost, and removes what is behind the cut. Segments go from the last to the first, so
// that another crash leaves no gap.
func (l *Log) cutTail(behind []*segment.Segment, s *segment.Segment, cutBytes int64, torn error) error {
	for _, b := range behind {
		if info, err := l.dir.fs.Stat(b.FileName(segment.LogSuffix)); err == nil {
			cutBytes += info.Size()
		}
	}
	l.dir.logger.Warn("unflushed tail was torn by an unclean stop and is cut", "partition", l.tp.String(),
		"log_end_offset", s.NextOffset(), "cut_bytes", cutBytes, "segments_removed", len(behind), "fault", torn)
	l.dir.metrics.torn(cutBytes)
	if err := s.Cut(); err != nil {
		return err
	}
	for i := len(behind) - 1; i >= 0; i-- {
		if err := behind[i].Remove(); err != nil {
			return err
		}
		if err := l.dir.fs.SyncDir(l.path); err != nil {
			return err
		}
	}
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

// loadEpochs is for who asks for epochs only: a start asks every log.
func (l *Log) loadEpochs() error {
	if l.epochsLoaded.Load() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epochsLoaded.Load() {
		return nil
	}
	lost, err := l.readEpochs()
	if err == nil && lost {
		err = l.warmUpLocked()
	}
	return err
}

// readEpochs reads the checkpoint; lost says that there is none that can be used.
func (l *Log) readEpochs() (lost bool, err error) {
	p, err := segment.ReadFile(l.dir.fs, l.path+"/"+epochFile)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	entries, err := decodeEpochs(p)
	if err != nil {
		l.dir.logger.Warn("leader epochs are read from the log", "partition", l.tp.String(), "error", err)
		return true, nil
	}
	l.epochs.set(entries)
	l.epochsLoaded.Store(true)
	return false, nil
}

// settleEpochs fits the epochs to the log; those that were lost are read from the batch headers.
func (l *Log) settleEpochs(lost bool) error {
	if lost {
		l.epochs.clear()
		for _, s := range *l.segments.Load() {
			err := s.Headers(0, s.SizeBytes(), func(h segment.Header) bool {
				l.epochs.assign(h.Batch.PartitionLeaderEpoch(), h.Batch.BaseOffset())
				return true
			})
			if err != nil {
				return err
			}
		}
	}
	l.epochs.truncateFromEnd(l.logEnd.Load())
	l.epochs.truncateFromStart(l.logStart.Load())
	if epoch, ok := l.epochs.latest(); ok {
		l.lastEpoch = epoch
	}
	l.epochsLoaded.Store(true)
	return nil
}

func (l *Log) writeEpochs(p []byte) error {
	return vfs.WriteFileAtomic(l.dir.fs, l.path+"/"+epochFile, p, 0o644)
}

// loadProducers takes the last usable snapshot at or below upTo and replays the batches from there to the end of the
// log. Aborted transactions whose marker lies at or behind abortedFrom are noted anew.
func (l *Log) loadProducers(upTo, abortedFrom int64) error {
	table, from, err := l.loadSnapshot(upTo)
	if err != nil {
		return err
	}
	segments := *l.segments.Load()
	if abortedFrom < l.logEnd.Load() {
		for _, s := range segments[segmentIndex(segments, abortedFrom):] {
			if err := dropAborted(s, abortedFrom); err != nil {
				return err
			}
		}
	}
	l.bytesSinceSnapshot = 0
	for i := segmentIndex(segments, from); i < len(segments); i++ {
		if err := l.replay(&table, segments[i], max(from, segments[i].BaseOffset()), abortedFrom); err != nil {
			return err
		}
	}
	l.producers = table
	l.firstUnstable.Store(producer.None)
	if table != nil {
		l.firstUnstable.Store(table.FirstUnstableOffset())
	}
	return nil
}

// dropAborted forgets what the .txnindex says of the part of the log that is read anew.
func dropAborted(s *segment.Segment, from int64) error {
	aborted, err := s.Aborted()
	var corrupt *CorruptError
	if errors.As(err, &corrupt) && s.BaseOffset() >= from {
		aborted, err = nil, nil
	}
	if err != nil {
		return err
	}
	kept := slices.DeleteFunc(slices.Clone(aborted), func(t segment.AbortedTxn) bool { return t.LastOffset >= from })
	s.SetAborted(kept, len(kept) != len(aborted))
	return nil
}

// loadSnapshot finds the last sound snapshot; those beyond it are removed, they speak of another log. Producers without
// a trace for too long are left out.
func (l *Log) loadSnapshot(upTo int64) (table *producer.Table, offset int64, err error) {
	removed := false
	for n := len(l.snapshots); n > 0; n = len(l.snapshots) {
		offset := l.snapshots[n-1]
		name := l.snapshotName(offset)
		if offset <= upTo {
			p, err := segment.ReadFile(l.dir.fs, name)
			if err != nil {
				return nil, 0, err
			}
			if table, err = producer.DecodeSnapshot(p); err == nil {
				break
			}
			l.dir.logger.Warn("producer snapshot is passed over", "partition", l.tp.String(), "file", name, "error", err)
		}
		if err := l.dir.fs.Remove(name); err != nil && !os.IsNotExist(err) {
			return nil, 0, err
		}
		l.snapshots = l.snapshots[:n-1]
		removed = true
	}
	if removed {
		if err := l.dir.fs.SyncDir(l.path); err != nil {
			return nil, 0, err
		}
	}
	if table == nil {
		return nil, l.logStart.Load(), nil
	}
	table.RemoveExpired(l.now().UnixMilli(), l.dir.cfg.ProducerIDExpiration.Milliseconds())
	if table.Len() == 0 {
		table = nil
	}
	return table, max(l.snapshots[len(l.snapshots)-1], l.logStart.Load()), nil
}

// replay feeds the producers with the batches of one segment.
func (l *Log) replay(table **producer.Table, s *segment.Segment, from, abortedFrom int64) error {
	place, ok, err := s.Find(from)
	if err != nil || !ok {
		return err
	}
	var info producer.Info
	var undo producer.Undo
	var whole []byte
	var fault error
	err = s.Headers(place.Position, s.SizeBytes(), func(h segment.Header) bool {
		l.bytesSinceSnapshot += h.SizeBytes
		b := h.Batch
		if b.ProducerID() == record.NoProducerID || b.LastOffset() < from { // the log may start inside a batch
			return true
		}
		if b.Attributes().IsControl() {
			if b, fault = s.ReadBatch(h, whole); fault != nil {
				return false
			}
			whole = b
		}
		if fault = fillInfo(&info, b); fault != nil {
			fault = &CorruptError{File: s.FileName(segment.LogSuffix), Offset: h.Position, Reason: fault.Error()}
			return false
		}
		if *table == nil {
			*table = &producer.Table{}
		}
		completed, ended, err := (*table).Append(&info, producer.CheckNothing, &undo)
		if err != nil {
			fault = err
			return false
		}
		if ended && completed.Aborted && completed.LastOffset >= abortedFrom {
			s.AddAborted(abortedEntry(completed))
		}
		return true
	})
	return errors.Join(err, fault)
}
