package log

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/record"
)

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
