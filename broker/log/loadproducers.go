package log

import (
	"errors"
	"os"
	"slices"

	"github.com/millrace-io/millrace/broker/log/producer"
	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/record"
)

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
	unstable := int64(producer.None)
	if table != nil {
		table.SetHighWatermark(l.highWatermark.Load()) // what was stable before stays so
		unstable = table.FirstUnstableOffset()
	}
	l.firstUnstable.Store(unstable) // once: readers and the cleaner look without a lock
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
