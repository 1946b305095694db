package log

import (
	"errors"
	"slices"

	"github.com/millrace-io/millrace/broker/log/segment"
)

// BeginRewrite keeps others from rewriting segments until EndRewrite: the cleaner and the repair of a damaged segment use
// the same file names. false: somebody is at it.
func (l *Log) BeginRewrite() bool { return l.rewriting.CompareAndSwap(false, true) }

// EndRewrite ends what BeginRewrite began.
func (l *Log) EndRewrite() { l.rewriting.Store(false) }

// Sealed lists the segments that do not change any more: all but the active one, as far as the recovery point on disk
// reaches. A log with one segment is not loaded for it.
func (l *Log) Sealed() []*segment.Segment {
	if len(*l.segments.Load()) < 2 || l.usable() != nil {
		return nil
	}
	bound, segments := l.checkpointedRecoveryPoint(), *l.segments.Load()
	if len(segments) < 2 {
		return nil
	}
	segments = segments[:len(segments)-1]
	for i, s := range segments {
		if s.NextOffset() > bound {
			return segments[:i]
		}
	}
	return segments
}

// Holds says that the segment is still part of the log.
func (l *Log) Holds(s *segment.Segment) bool { return slices.Contains(*l.segments.Load(), s) }

// Renew puts a segment of the same batches in the place of s, whose bytes have changed on disk: fill writes them with
// WriteCleaned. The swap is the cleaner's, and so is what a crash amid it leaves.
func (l *Log) Renew(s *segment.Segment, fill func(renewed *segment.Segment) error) error {
	if !l.BeginRewrite() {
		return ErrLogChanged
	}
	defer l.EndRewrite()
	work := &Cleanable{truncations: l.truncated()}
	aborted, err := s.Aborted()
	if err != nil {
		return err
	}
	renewed, err := l.NewCleaned(s.BaseOffset())
	if err != nil {
		return err
	}
	if err = fill(renewed); err == nil {
		err = l.FinishCleaned(work, []*segment.Segment{s}, renewed, aborted)
	}
	if err != nil && l.dir.Err() == nil {
		err = errors.Join(err, l.DropCleaned(renewed))
	}
	return err
}
