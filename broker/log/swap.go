package log

import (
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"

	"github.com/millrace-io/millrace/broker/log/segment"
)

// replace puts the cleaner's output in the place of consecutive segments: cleaned is the one whose files carry
// segment.CleanedSuffix and are synced, truncations how often the log had been truncated when the work began: the same
// segment may have got other records since. The steps, each durable before the next: the output becomes .swap (from here on
// a crash finishes the work), the old files become .deleted, the output gets its name.
func (l *Log) replace(truncations uint32, old []*segment.Segment, cleaned *segment.Segment) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writableLocked(); err != nil {
		return err
	}
	segments := *l.segments.Load()
	first := slices.Index(segments, old[0])
	last := first + len(old)
	if l.truncated() != truncations || first < 0 || last >= len(segments) || !slices.Equal(segments[first:last], old) {
		return fmt.Errorf("replace segments of %s: %w", l.tp, ErrLogChanged)
	}
	cleaned.SetSealed(cleaned.SizeBytes(), segments[last].BaseOffset())
	if err := l.swap(old, cleaned); err != nil {
		return l.storageError("replace segments of", err)
	}
	after := append(slices.Clone(segments[:first]), cleaned)
	l.setSegments(append(after, segments[last:]...))
	for _, s := range old {
		s.Close()
	}
	return nil
}

func (l *Log) swap(old []*segment.Segment, cleaned *segment.Segment) error {
	if err := cleaned.Rename(segment.SwapSuffix); err != nil {
		return err
	}
	if err := l.dir.fs.SyncDir(l.path); err != nil {
		return err
	}
	for _, s := range old {
		if err := s.Rename(segment.DeletedSuffix); err != nil {
			return err
		}
		l.dir.keeper.later(l.deleteDelay(), s.Remove)
	}
	if err := l.dir.fs.SyncDir(l.path); err != nil {
		return err
	}
	if err := cleaned.Rename(""); err != nil {
		return err
	}
	return l.dir.fs.SyncDir(l.path)
}

// finishSwap ends what the cleaner was doing when the process died, as Kafka's LogLoader does: output without .swap is
// not complete and goes; with .swap it replaces every segment that it covers.
func (l *Log) finishSwap(entries []fs.DirEntry, found listing) error {
	minCleaned := int64(math.MaxInt64)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), segment.CleanedSuffix) {
			if base, _, ok := segment.ParseFileName(e.Name()); ok {
				minCleaned = min(minCleaned, base)
			}
		}
	}
	for _, e := range entries {
		base, _, ok := segment.ParseFileName(e.Name())
		swapped := strings.HasSuffix(e.Name(), segment.SwapSuffix)
		if ok && (strings.HasSuffix(e.Name(), segment.CleanedSuffix) || (swapped && base >= minCleaned)) {
			if err := l.removeFile(e.Name()); err != nil {
				return err
			}
		}
	}
	slices.Sort(found.swaps)
	for _, base := range found.swaps {
		if base < minCleaned {
			if err := l.finishOneSwap(entries, base); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Log) finishOneSwap(entries []fs.DirEntry, base int64) error {
	s := segment.New(l.dir.files, l.dir.indexes, l.path, base)
	s.SetSuffix(segment.SwapSuffix)
	end, err := s.EndOnDisk()
	s.Close()
	if err != nil {
		return err
	}
	l.dir.logger.Info("interrupted compaction is finished", "partition", l.tp.String(), "base_offset", base)
	for _, e := range entries {
		old, suffix, ok := segment.ParseFileName(e.Name())
		// A .txnindex with the base offset stays: it is the new one, unless that still waits under .swap.
		if ok && (old == base && suffix != segment.TxnIndexSuffix || old > base && old < end) && slices.Contains(
			[]string{segment.LogSuffix, segment.IndexSuffix, segment.TimeIndexSuffix, segment.TxnIndexSuffix}, suffix) {
			if err := l.removeFile(e.Name()); err != nil {
				return err
			}
		}
	}
	if err := l.dir.fs.SyncDir(l.path); err != nil {
		return err
	}
	for _, kind := range [...]string{segment.TxnIndexSuffix, segment.LogSuffix} {
		name := l.path + "/" + segment.FileName(base, kind)
		if err := l.dir.fs.Rename(name+segment.SwapSuffix, name); err != nil && !isNotExist(err) {
			return err
		}
	}
	return l.dir.fs.SyncDir(l.path)
}
