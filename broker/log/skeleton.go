package log

import (
	"github.com/millrace-io/millrace/broker/log/producer"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/vfs"
)

// Dir is one log directory.
type Dir struct{}

// OpenDir takes the lock and reads the state of the last stop. It starts the flusher; Close joins it.
func OpenDir(cfg DirConfig) (*Dir, error) { panic("BUG: not yet") }

func (d *Dir) ID() [16]byte            { panic("BUG: not yet") }
func (d *Dir) Path() string            { panic("BUG: not yet") }
func (d *Dir) Err() error              { panic("BUG: not yet") }
func (d *Dir) Failed() <-chan struct{} { panic("BUG: not yet") }

// CleanStop says whether the last stop was clean.
func (d *Dir) CleanStop() bool              { panic("BUG: not yet") }
func (d *Dir) Partitions() []TopicPartition { panic("BUG: not yet") }
func (d *Dir) Open(tp TopicPartition, cfg *Config, hooks Hooks) (*Log, error) {
	panic("BUG: not yet")
}
func (d *Dir) Remove(tp TopicPartition) error { panic("BUG: not yet") }

// HighWatermarkCheckpoint is what replication-offset-checkpoint said at OpenDir.
func (d *Dir) HighWatermarkCheckpoint(topic string, partition int32) (int64, bool) {
	panic("BUG: not yet")
}

// Checkpoint flushes every log and writes the three checkpoint files now.
func (d *Dir) Checkpoint() error { panic("BUG: not yet") }
func (d *Dir) Close() error      { panic("BUG: not yet") }

// Log is one partition's log.
type Log struct{}

func (l *Log) TopicPartition() TopicPartition { panic("BUG: not yet") }
func (l *Log) Dir() *Dir                      { panic("BUG: not yet") }
func (l *Log) Config() *Config                { panic("BUG: not yet") }
func (l *Log) SetConfig(cfg *Config)          { panic("BUG: not yet") }

// Err is the reason why the log is offline; nil while it works.
func (l *Log) Err() error { panic("BUG: not yet") }
func (l *Log) Append(entries []Entry, leaderEpoch int32, origin Origin) (appended int, err error) {
	panic("BUG: not yet")
}
func (l *Log) AppendAsFollower(batches []record.Batch) error { panic("BUG: not yet") }
func (l *Log) Read(offset, upTo int64, maxBytes int, atLeastOneBatch bool) (Slice, error) {
	panic("BUG: not yet")
}
func (l *Log) LogStartOffset() int64 { panic("BUG: not yet") }
func (l *Log) LogEndOffset() int64   { panic("BUG: not yet") }
func (l *Log) FlushedOffset() int64  { panic("BUG: not yet") }
func (l *Log) RecoveryPoint() int64  { panic("BUG: not yet") }
func (l *Log) SizeBytes() int64      { panic("BUG: not yet") }

// SetHighWatermark is told by the replica: it bounds the last stable offset, retention and the cleaner, and is what
// replication-offset-checkpoint keeps.
func (l *Log) SetHighWatermark(offset int64) { panic("BUG: not yet") }
func (l *Log) HighWatermark() int64          { panic("BUG: not yet") }
func (l *Log) LastStableOffset() int64       { panic("BUG: not yet") }
func (l *Log) RequestFlush()                 { panic("BUG: not yet") }

// Flush waits until everything appended before the call is on disk.
func (l *Log) Flush() error { panic("BUG: not yet") }
func (l *Log) OffsetForTimestamp(ts int64) (TimestampOffset, bool, error) {
	panic("BUG: not yet")
}
func (l *Log) MaxTimestamp() (TimestampOffset, bool, error) { panic("BUG: not yet") }
func (l *Log) LatestEpoch() (int32, bool)                   { panic("BUG: not yet") }

// EndOffsetForEpoch answers OffsetForLeaderEpoch: -1, -1 when nothing is known.
func (l *Log) EndOffsetForEpoch(epoch int32) (epochOut int32, endOffset int64) {
	panic("BUG: not yet")
}
func (l *Log) EpochAt(offset int64) (int32, bool)         { panic("BUG: not yet") }
func (l *Log) TruncateTo(offset int64) error              { panic("BUG: not yet") }
func (l *Log) TruncateFullyAndStartAt(offset int64) error { panic("BUG: not yet") }
func (l *Log) IncrementLogStartOffset(offset int64) error { panic("BUG: not yet") }
func (l *Log) AbortedTransactions(from, to int64) []AbortedTransaction {
	panic("BUG: not yet")
}
func (l *Log) ActiveProducers() []producer.State { panic("BUG: not yet") }
func (l *Log) ApplyRetention(highWatermark int64) (deletedSegments int, deletedBytes int64, err error) {
	panic("BUG: not yet")
}

// Slice is a run of whole batches: in Bytes, or in File from Position on. Release it exactly once.
type Slice struct {
	Bytes     []byte
	File      vfs.File // nil when Bytes holds the data
	Position  int64
	SizeBytes int // 0: nothing to read at this offset yet
}

// Release unpins the file and gives the buffer back.
func (s *Slice) Release() { panic("BUG: not yet") }
