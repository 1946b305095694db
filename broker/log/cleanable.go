package log

import (
	"fmt"
	"maps"

	"github.com/millrace-io/millrace/broker/log/segment"
)

// cleanerFile keeps up to where the logs have been compacted; Kafka's name and format.
const cleanerFile = "cleaner-offset-checkpoint"

// Cleanable is the part of a compacted log that the cleaner may rewrite now.
type Cleanable struct {
	Segments         []*segment.Segment // from the first of the log on; never the active one
	FirstDirtyOffset int64              // what lies below was compacted before
	EndOffset        int64              // after the last of Segments
	CleanBytes       int64
	DirtyBytes       int64
	Overdue          bool // a dirty record is older than max.compaction.lag.ms
}

// DirtyRatio is what min.cleanable.dirty.ratio is held against.
func (c *Cleanable) DirtyRatio() float64 {
	if c.CleanBytes+c.DirtyBytes == 0 {
		return 0
	}
	return float64(c.DirtyBytes) / float64(c.CleanBytes+c.DirtyBytes)
}

// Cleanable says what the cleaner may work on: segments that are wholly below the last stable offset, below the recovery
// point on disk (a recovery must not take the holes of compaction for lost segments), and older than
// min.compaction.lag.ms.
func (l *Log) Cleanable() (Cleanable, error) {
	if err := l.usable(); err != nil {
		return Cleanable{}, err
	}
	bound := min(l.LastStableOffset(), l.checkpointedRecoveryPoint())
	cfg := l.config.Load()
	now := l.now().UnixMilli()
	segments := *l.segments.Load()
	c := Cleanable{FirstDirtyOffset: l.cleanedTo()}
	if len(segments) == 0 {
		return c, nil
	}
	c.FirstDirtyOffset = max(c.FirstDirtyOffset, segments[0].BaseOffset())
	c.EndOffset = segments[0].BaseOffset()
	for _, s := range segments[:len(segments)-1] {
		latest, err := l.latestTimestamp(s)
		if err != nil {
			return Cleanable{}, l.fail(err)
		}
		if s.NextOffset() > bound || (cfg.MinCompactionLagMillis > 0 && now-latest < cfg.MinCompactionLagMillis) {
			break
		}
		c.Segments = append(c.Segments, s)
		c.EndOffset = s.NextOffset()
		if s.NextOffset() <= c.FirstDirtyOffset {
			c.CleanBytes += s.SizeBytes()
			continue
		}
		c.DirtyBytes += s.SizeBytes()
		if cfg.MaxCompactionLagMillis == never || c.Overdue {
			continue
		}
		first, err := s.ReadFirstTimestamp()
		if err != nil {
			return Cleanable{}, l.fail(err)
		}
		c.Overdue = first >= 0 && now-first > cfg.MaxCompactionLagMillis
	}
	return c, nil
}

func (l *Log) checkpointedRecoveryPoint() int64 {
	l.dir.checkpointMu.Lock()
	defer l.dir.checkpointMu.Unlock()
	return l.dir.recoveryPoints.offsets[l.tp.String()]
}

func (l *Log) cleanedTo() int64 {
	l.dir.checkpointMu.Lock()
	defer l.dir.checkpointMu.Unlock()
	return l.dir.cleaned.offsets[l.tp.String()]
}

// SetCleaned notes that everything below offset has been compacted.
func (l *Log) SetCleaned(offset int64) error {
	l.dir.checkpointMu.Lock()
	defer l.dir.checkpointMu.Unlock()
	offsets := maps.Clone(l.dir.cleaned.offsets)
	offsets[l.tp.String()] = offset
	if err := l.dir.cleaned.write(l.dir.fs, offsets); err != nil {
		if isNoSpace(err) {
			return ErrNoSpace
		}
		return l.dir.fail(err)
	}
	return nil
}

// LastOffsets returns, for every producer that is still known, the last offset of its last batch; producer.None when
// only a marker is known of it. The cleaner keeps these batches: they hold the last sequence.
func (l *Log) LastOffsets() map[int64]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := map[int64]int64{}
	if l.writableLocked() == nil && l.producers != nil {
		for _, s := range l.producers.States() {
			last[s.ID] = s.LastOffset()
		}
	}
	return last
}

// NewCleaned begins a segment for the cleaner's output. A file that an earlier attempt left is overwritten.
func (l *Log) NewCleaned(baseOffset int64) (*segment.Segment, error) {
	s := segment.New(l.dir.files, l.dir.indexes, l.path, baseOffset)
	s.SetSuffix(segment.CleanedSuffix)
	if err := s.Create(l.now()); err != nil {
		return nil, l.cleanerError(err)
	}
	return s, nil
}

// FinishCleaned makes the cleaner's output durable and puts it in the place of old.
func (l *Log) FinishCleaned(old []*segment.Segment, cleaned *segment.Segment) error {
	var aborted []segment.AbortedTxn
	for _, s := range old {
		txns, err := s.Aborted()
		if err != nil {
			return l.fail(err)
		}
		aborted = append(aborted, txns...)
	}
	cleaned.SetAborted(aborted, len(aborted) > 0)
	if _, err := cleaned.WriteAborted(); err != nil {
		return l.cleanerError(err)
	}
	if err := cleaned.Seal(); err != nil {
		return l.cleanerError(err)
	}
	if _, err := cleaned.Sync(); err != nil {
		return l.dir.fail(fmt.Errorf("clean %s: %w", l.tp, err))
	}
	return l.Replace(old, cleaned)
}

// DropCleaned gives up output that was not finished.
func (l *Log) DropCleaned(cleaned *segment.Segment) error {
	cleaned.Close()
	return cleaned.Remove()
}

// WriteCleaned adds a batch to the cleaner's output.
func (l *Log) WriteCleaned(cleaned *segment.Segment, p []byte, placed segment.Placed) error {
	if err := cleaned.Write([][]byte{p}, len(p)); err != nil {
		return l.cleanerError(err)
	}
	cleaned.Commit([]segment.Placed{placed}, l.config.Load().IndexIntervalBytes)
	return nil
}

func (l *Log) cleanerError(err error) error {
	if isNoSpace(err) {
		return ErrNoSpace
	}
	return l.dir.fail(fmt.Errorf("clean %s: %w", l.tp, err))
}

// Fail takes the partition offline when err says that its bytes are corrupt: for the cleaner, which reads them all.
func (l *Log) Fail(err error) error { return l.fail(err) }
