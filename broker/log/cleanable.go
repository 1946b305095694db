package log

import (
	"slices"

	"github.com/millrace-io/millrace/broker/log/producer"
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
	// DelayMillis is by how much the oldest dirty record is older than max.compaction.lag.ms; 0: it is not.
	DelayMillis int64

	truncations uint32 // of the log so far: after another one this is void
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
	c := Cleanable{truncations: l.truncated()} // before anything is looked at
	bound := min(l.LastStableOffset(), l.checkpointedRecoveryPoint())
	cfg := l.config.Load()
	now := l.now().UnixMilli()
	segments := *l.segments.Load()
	if len(segments) == 0 {
		return c, nil
	}
	c.FirstDirtyOffset, c.EndOffset = l.firstDirty(segments[0].BaseOffset()), segments[0].BaseOffset()
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
		if cfg.MaxCompactionLagMillis == never {
			continue
		}
		first, err := s.ReadFirstTimestamp()
		if err != nil {
			return Cleanable{}, l.fail(err)
		}
		if first > 0 {
			c.DelayMillis = max(c.DelayMillis, now-first-cfg.MaxCompactionLagMillis)
		}
	}
	return c, nil
}

// firstDirty is where the part begins that was never compacted. A checkpoint beyond the end of the log speaks of another
// one: then all of it is dirty (LogCleanerManager.cleanableOffsets).
func (l *Log) firstDirty(firstOffset int64) int64 {
	cleaned := l.cleanedTo()
	if cleaned > l.logEnd.Load() {
		return firstOffset
	}
	return max(cleaned, firstOffset)
}

func (l *Log) truncated() uint32 {
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	return l.truncations
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

// LastBatch is the trace of a live producer that the cleaner must not remove.
type LastBatch struct {
	Offset int64 // the last one of its last batch, which holds its sequence; producer.None: only a marker is known of it
	// Committed is that of its last batch below the high watermark, which is its trace when what lies above is cut off;
	// producer.None: not remembered, so that any of its batches may be the one.
	Committed int64
	Epoch     int16
}

// below is the last offset of the last batch that is remembered below end.
func below(s *producer.State, end int64) int64 {
	for _, b := range slices.Backward(s.Batches()) {
		if b.LastOffset < end {
			return b.LastOffset
		}
	}
	return producer.None
}

// LastBatches returns the traces of all producers that are still known (UnifiedLog.lastRecordsOfActiveProducers, which has the last
// batch alone: a truncation behind a cleaning then leaves a producer without its sequence).
func (l *Log) LastBatches() map[int64]LastBatch {
	l.mu.Lock()
	defer l.mu.Unlock()
	last, committed := map[int64]LastBatch{}, l.highWatermark.Load()
	if l.writableLocked() == nil && l.producers != nil {
		for _, s := range l.producers.States() {
			last[s.ID] = LastBatch{s.LastOffset(), below(&s, committed), s.Epoch}
		}
	}
	return last
}

// AbortedIn lists the aborted transactions with records in the segments of work, wherever their markers lie: also behind,
// in segments that the cleaner may not touch yet.
func (l *Log) AbortedIn(work *Cleanable) ([]segment.AbortedTxn, error) {
	if len(work.Segments) == 0 {
		return nil, nil
	}
	var found []segment.AbortedTxn
	segments := *l.segments.Load()
	for _, s := range segments[segmentIndex(segments, work.Segments[0].BaseOffset()):] {
		txns, err := s.Aborted()
		if err != nil {
			return nil, l.fail(err)
		}
		for _, t := range txns {
			if t.FirstOffset < work.EndOffset {
				found = append(found, t)
			}
			if t.LastStableOffset >= work.EndOffset {
				return found, nil
			}
		}
	}
	return found, nil
}
