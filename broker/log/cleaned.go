package log

import (
	"fmt"
	"maps"
	"math"

	"github.com/millrace-io/millrace/broker/log/segment"
)

// NewCleaned begins a segment for the cleaner's output. A file that an earlier attempt left is overwritten.
func (l *Log) NewCleaned(baseOffset int64) (*segment.Segment, error) {
	s := segment.New(l.dir.files, l.dir.indexes, l.path, baseOffset)
	s.SetSuffix(segment.CleanedSuffix)
	if err := s.Create(l.now()); err != nil {
		return nil, l.cleanerError(err)
	}
	return s, nil
}

// WriteCleaned adds batches, which lie back to back in p, to the cleaner's output.
func (l *Log) WriteCleaned(cleaned *segment.Segment, p []byte, placed []segment.Placed) error {
	if cleaned.SizeBytes()+int64(len(p)) > math.MaxInt32 {
		return fmt.Errorf("clean %s: the output is larger than a segment can be", l.tp)
	}
	if err := cleaned.Write([][]byte{p}, len(p)); err != nil {
		return l.cleanerError(err)
	}
	cleaned.Commit(placed, l.config.Load().IndexIntervalBytes)
	return nil
}

// FinishCleaned makes the cleaner's output durable and puts it in the place of old. aborted are the transactions whose
// markers are in the output and that a reader has to know of.
func (l *Log) FinishCleaned(work *Cleanable, old []*segment.Segment, cleaned *segment.Segment, aborted []segment.AbortedTxn) error {
	// An empty index is written where there was one with entries: a crash amid the swap would leave the old one.
	write := len(aborted) > 0
	for _, s := range old {
		before, err := s.Aborted()
		if err != nil {
			return err
		}
		write = write || len(before) > 0
	}
	cleaned.SetAborted(aborted, write)
	if _, err := cleaned.WriteAborted(); err != nil {
		return l.cleanerError(err)
	}
	if err := cleaned.Seal(); err != nil {
		return l.cleanerError(err)
	}
	if _, err := cleaned.Sync(); err != nil {
		return l.dir.fail(fmt.Errorf("clean %s: %w", l.tp, err))
	}
	return l.replace(work.truncations, old, cleaned)
}

// DropCleaned gives up output that was not finished.
func (l *Log) DropCleaned(cleaned *segment.Segment) error {
	cleaned.Close()
	return cleaned.Remove()
}

func (l *Log) cleanerError(err error) error {
	if isNoSpace(err) {
		return ErrNoSpace
	}
	return l.dir.fail(fmt.Errorf("clean %s: %w", l.tp, err))
}

// SetCleaned notes that everything below offset has been compacted, as work said it could be.
func (l *Log) SetCleaned(work *Cleanable, offset int64) error {
	l.dir.checkpointMu.Lock()
	defer l.dir.checkpointMu.Unlock()
	if l.truncated() != work.truncations { // a truncation holds checkpointMu: it is over, and its word stands
		return fmt.Errorf("note what is clean of %s: %w", l.tp, ErrLogChanged)
	}
	return l.dir.writeCleaned(l.tp.String(), offset)
}

// lowerCleaned makes sure, before a log is cut, that what will be appended from offset on does not count as compacted: a
// tombstone there would go without the values before it. The caller holds checkpointMu.
func (d *Dir) lowerCleaned(name string, offset int64) error {
	if d.cleaned.offsets[name] <= offset {
		return nil
	}
	return d.writeCleaned(name, offset)
}

// writeCleaned replaces the file; the caller holds checkpointMu.
func (d *Dir) writeCleaned(name string, offset int64) error {
	offsets := maps.Clone(d.cleaned.offsets)
	if offsets == nil {
		offsets = map[string]int64{}
	}
	offsets[name] = offset
	if err := d.cleaned.write(d.fs, offsets); err != nil {
		if isNoSpace(err) {
			return ErrNoSpace
		}
		return d.fail(err)
	}
	return nil
}
