package log

import (
	"errors"
	"io/fs"

	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/record"
)

// OffsetForTimestamp finds the first record at or after a time. Only the batch that holds it is unpacked.
func (l *Log) OffsetForTimestamp(timestampMillis int64) (found TimestampOffset, ok bool, err error) {
	if err := l.usable(); err != nil {
		return found, false, err
	}
	start := l.logStart.Load()
	segments := *l.segments.Load()
	for i := segmentIndex(segments, start); i < len(segments); i++ {
		s := segments[i]
		largest, _, err := s.MaxTimestamp()
		if err != nil {
			return found, false, l.fail(err)
		}
		if largest < timestampMillis {
			continue
		}
		h, ok, err := s.FindTimestamp(timestampMillis, start)
		if err != nil {
			return found, false, l.fail(err)
		}
		if !ok {
			continue
		}
		found, ok, err = firstRecord(s, h, func(r *record.Record, offset int64) bool {
			return r.TimestampMillis >= timestampMillis && offset >= start
		})
		if ok || err != nil {
			return found, ok, l.fail(err)
		}
	}
	return found, false, nil
}

// MaxTimestamp finds the first record with the largest timestamp.
func (l *Log) MaxTimestamp() (found TimestampOffset, ok bool, err error) {
	if err := l.usable(); err != nil {
		return found, false, err
	}
	var latest *segment.Segment
	largest := int64(-1)
	segments := *l.segments.Load()
	for _, s := range segments {
		timestamp, _, err := s.MaxTimestamp()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return found, false, l.fail(err)
		}
		if timestamp > largest {
			latest, largest = s, timestamp
		}
	}
	if latest == nil {
		return found, false, nil
	}
	h, ok, err := latest.FindTimestamp(largest, l.logStart.Load())
	if err != nil || !ok {
		return found, false, l.fail(err)
	}
	found, ok, err = firstRecord(latest, h, func(r *record.Record, _ int64) bool { return r.TimestampMillis >= largest })
	return found, ok, l.fail(err)
}

// firstRecord unpacks one batch and returns the first record that is wanted.
func firstRecord(s *segment.Segment, h segment.Header, wanted func(r *record.Record, offset int64) bool) (TimestampOffset, bool, error) {
	b, err := s.ReadBatch(h, nil)
	if err != nil {
		return TimestampOffset{}, false, err
	}
	if err := b.VerifyCRC(); err != nil {
		return TimestampOffset{}, false, &CorruptError{File: s.FileName(segment.LogSuffix), Offset: h.Position, Reason: err.Error()}
	}
	appendTime := b.Attributes().TimestampType() == record.LogAppendTime
	for r, err := range b.Records(&record.Decompressor{}) {
		if err != nil {
			return TimestampOffset{}, false, &CorruptError{File: s.FileName(segment.LogSuffix), Offset: h.Position, Reason: err.Error()}
		}
		if appendTime {
			r.TimestampMillis = b.MaxTimestamp()
		}
		if offset := b.BaseOffset() + int64(r.OffsetDelta); wanted(&r, offset) {
			return TimestampOffset{Offset: offset, TimestampMillis: r.TimestampMillis, LeaderEpoch: b.PartitionLeaderEpoch()}, true, nil
		}
	}
	return TimestampOffset{}, false, nil
}
