package log

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/log/producer"
	"github.com/millrace-io/millrace/broker/log/segment"
)

// Bits of Log.newNames: names that a flush has to make durable together with the data.
const (
	newFileName uint32 = 1 << iota // a segment file in the partition's directory
	newDirName                     // the partition's directory itself, and what is in it
)

// Log is the log of one partition. Append and everything else that changes it takes mu; readers take no lock of the
// log: they use the atomics and the immutable list of segments.
type Log struct {
	dir   *Dir // fixed after Open, as are the fields up to the next blank line
	tp    TopicPartition
	path  string
	hooks Hooks

	config   atomic.Pointer[Config]
	segments atomic.Pointer[[]*segment.Segment] // never nil; the list is immutable, the last one is the active segment
	logStart atomic.Int64
	logEnd   atomic.Int64
	flushed  atomic.Int64 // moved under flushMu
	// highWatermark is what the replica told last; at the start, what the checkpoint says.
	highWatermark atomic.Int64
	firstUnstable atomic.Int64 // producer.None: no transaction in the way
	newNames      atomic.Uint32
	flushQueued   atomic.Bool // the flusher has it in its queue
	// onDisk says that the directory exists. It is set under mu, and read without it by a checkpoint: see makeDirectory.
	onDisk    atomic.Bool
	ready     atomic.Bool // Open has returned it
	warm      atomic.Bool // what a clean stop left has been loaded
	failure   atomic.Pointer[logFailure]
	lastFlush atomic.Int64 // millis: of the last flush, for flush.ms
	rewriting atomic.Bool  // somebody makes segments anew

	flushMu     sync.Mutex // comes after mu; guards the moves of flushed
	truncations uint32     // guarded by flushMu

	mu         sync.Mutex
	closed     bool            // guarded by mu
	producers  *producer.Table // guarded by mu; nil: no producer was ever seen
	lastGuard  producer.Guard  // guarded by mu: never used twice in the life of the process, whatever becomes of producers
	snapshots  []int64         // guarded by mu: offsets of the snapshot files, rising
	lastEpoch  int32           // guarded by mu: the epoch of the last append
	rollJitter int64           // guarded by mu: of the active segment
	// bytesSinceSnapshot counts what a recovery would have to replay for the producers. Guarded by mu.
	bytesSinceSnapshot int64

	lent lent

	epochs       epochCache
	epochsLoaded atomic.Bool
}

type logFailure struct{ err error }

func newLog(d *Dir, tp TopicPartition, cfg *Config, hooks Hooks) *Log {
	l := &Log{dir: d, tp: tp, path: d.path + "/" + tp.String(), hooks: hooks, lastEpoch: noEpoch}
	l.segments.Store(&[]*segment.Segment{})
	l.firstUnstable.Store(producer.None)
	l.warm.Store(true)
	l.epochsLoaded.Store(true)
	l.SetConfig(cfg)
	return l
}

// TopicPartition names the log.
func (l *Log) TopicPartition() TopicPartition { return l.tp }

// Dir is the log directory that holds it.
func (l *Log) Dir() *Dir { return l.dir }

// Config is what was set last.
func (l *Log) Config() *Config { return l.config.Load() }

// SetConfig swaps the settings; the caller does not change cfg any more.
func (l *Log) SetConfig(cfg *Config) {
	l.config.Store(cfg)
	if cfg.FlushMillis < never {
		l.dir.keeper.watchFlushTimes()
	}
}

// never is the value of flush.messages and flush.ms that leaves flushing to the directory.
const never = 1<<63 - 1

// Err is why the log is offline; nil while it works.
func (l *Log) Err() error {
	if f := l.failure.Load(); f != nil {
		return f.err
	}
	return l.dir.Err()
}

// fail takes the partition offline when err says that its bytes are corrupt. Any other error of the disk is a
// kerr.KafkaStorageError for the wire, too, although nothing says yet whether the directory is lost.
func (l *Log) fail(err error) error {
	if err == nil || l.corrupted(err) {
		return err
	}
	if known := (*kerr.Error)(nil); errors.As(err, &known) {
		return err
	}
	return fmt.Errorf("access log %s: %w: %w", l.tp, kerr.KafkaStorageError, err)
}

// corrupted takes the partition offline when err says that its bytes are corrupt, and reports whether it does.
func (l *Log) corrupted(err error) bool {
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) {
		return false
	}
	if l.failure.CompareAndSwap(nil, &logFailure{corrupt}) {
		l.dir.logger.Error("partition is offline: its log is corrupt", "partition", l.tp.String(),
			"file", corrupt.File, "position", corrupt.Offset, "reason", corrupt.Reason)
	}
	return true
}

// usable is asked before anything is done.
func (l *Log) usable() error {
	if l.dir.offline.Load() != nil || l.failure.Load() != nil {
		return l.Err()
	}
	if l.warm.Load() {
		return nil
	}
	return l.warmUp()
}

// writableLocked is usable for who holds mu.
func (l *Log) writableLocked() error {
	if l.closed {
		return ErrClosed
	}
	if l.dir.offline.Load() != nil || l.failure.Load() != nil {
		return l.Err()
	}
	if l.warm.Load() {
		return nil
	}
	return l.warmUpLocked()
}

// LogStartOffset is the first offset that may be read.
func (l *Log) LogStartOffset() int64 { return l.logStart.Load() }

// LogEndOffset is the offset of the next record.
func (l *Log) LogEndOffset() int64 { return l.logEnd.Load() }

// FlushedOffset is the offset below which everything is on disk.
func (l *Log) FlushedOffset() int64 { return l.flushed.Load() }

// RecoveryPoint is where a recovery would begin if the process died after the next checkpoint: the flushed offset.
func (l *Log) RecoveryPoint() int64 { return l.flushed.Load() }

// SizeBytes is the size of the data files.
func (l *Log) SizeBytes() int64 {
	if l.usable() != nil {
		return 0
	}
	var sum int64
	for _, s := range *l.segments.Load() {
		sum += s.SizeBytes()
	}
	return sum
}

// HighWatermark is what SetHighWatermark said last.
func (l *Log) HighWatermark() int64 { return l.highWatermark.Load() }

// SetHighWatermark is told by the replica: it bounds the last stable offset, retention and the cleaner, and is what
// replication-offset-checkpoint keeps.
func (l *Log) SetHighWatermark(offset int64) {
	l.highWatermark.Store(offset)
	if l.firstUnstable.Load() == producer.None {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.producers.SetHighWatermark(offset)
	l.firstUnstable.Store(l.producers.FirstUnstableOffset())
}

// LastStableOffset is where a read_committed reader stops: the high watermark, or the first undecided transaction.
func (l *Log) LastStableOffset() int64 {
	_ = l.usable() // a log left by a clean stop learns of its transactions first; a failure shows in the read
	highWatermark := l.highWatermark.Load()
	if unstable := l.firstUnstable.Load(); unstable != producer.None {
		return min(unstable, highWatermark)
	}
	return highWatermark
}

// EpochsErr says why the leader epochs cannot be told now: after a clean stop they are read when first asked for. Who must not take
// that for an empty log asks before.
func (l *Log) EpochsErr() error { return l.fail(l.loadEpochs()) }

// LatestEpoch is the leader epoch of the last record.
func (l *Log) LatestEpoch() (int32, bool) {
	if l.loadEpochs() != nil {
		return noEpoch, false
	}
	return l.epochs.latest()
}

// EndOffsetForEpoch answers OffsetForLeaderEpoch: the largest known epoch that is not above the one asked for, and where
// it ends; -1, -1 when nothing is known.
func (l *Log) EndOffsetForEpoch(epoch int32) (epochOut int32, endOffset int64) {
	if l.loadEpochs() != nil {
		return noEpoch, noEndOffset
	}
	return l.epochs.endOffsetFor(epoch, l.logEnd.Load())
}

// EpochAt is the leader epoch of the record at an offset.
func (l *Log) EpochAt(offset int64) (int32, bool) {
	if l.loadEpochs() != nil {
		return noEpoch, false
	}
	return l.epochs.at(offset)
}

// ActiveProducers returns what is known of the producers, by producer id.
func (l *Log) ActiveProducers() []producer.State {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writableLocked() != nil || l.producers == nil {
		return nil
	}
	return l.producers.States()
}

func (l *Log) removeExpiredProducers() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.producers != nil && !l.closed {
		l.producers.RemoveExpired(l.dir.cfg.Clock().UnixMilli(), l.dir.cfg.ProducerIDExpiration.Milliseconds())
	}
}

// AbortedTransactions lists the aborted transactions that touch [from, to).
func (l *Log) AbortedTransactions(from, to int64) []AbortedTransaction {
	if l.usable() != nil {
		return nil
	}
	var found []AbortedTransaction
	segments := *l.segments.Load()
	for _, s := range segments[segmentIndex(segments, from):] {
		txns, err := s.Aborted()
		if l.fail(err) != nil {
			return found
		}
		for _, t := range txns {
			if t.LastOffset >= from && t.FirstOffset < to {
				found = append(found, AbortedTransaction{ProducerID: t.ProducerID, FirstOffset: t.FirstOffset})
			}
			if t.LastStableOffset >= to {
				return found
			}
		}
	}
	return found
}

// segmentIndex is the segment that holds the offset, or would.
func segmentIndex(segments []*segment.Segment, offset int64) int {
	low, high := 0, len(segments)
	for low < high {
		middle := int(uint(low+high) >> 1)
		if segments[middle].BaseOffset() <= offset {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return max(low-1, 0)
}

// active is the segment that is written to; nil in a log without files. The caller holds mu.
func (l *Log) active() *segment.Segment {
	segments := *l.segments.Load()
	if len(segments) == 0 {
		return nil
	}
	return segments[len(segments)-1]
}

func (l *Log) now() time.Time { return l.dir.cfg.Clock() }

func (l *Log) newJitter(cfg *Config) int64 {
	if cfg.SegmentJitterMillis <= 0 {
		return 0
	}
	return rand.Int64N(cfg.SegmentJitterMillis)
}

// close ends the log's life in this process; readers that hold a Slice may finish.
func (l *Log) close() (onDisk bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, s := range *l.segments.Load() {
		s.Close()
	}
	l.failure.CompareAndSwap(nil, &logFailure{ErrClosed})
	return l.onDisk.Load()
}
