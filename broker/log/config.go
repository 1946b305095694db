package log

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace-io/millrace/broker/vfs"
)

// DirConfig says what a log directory needs to know. Fixed after OpenDir.
type DirConfig struct {
	Path       string
	FS         vfs.FS
	Clock      func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics

	ClusterID string
	NodeID    int32
	// DirectoryID is used when the directory is new; zero: a random one is made.
	DirectoryID [16]byte

	MaxOpenFiles            int           // segment files kept open, shared by all partitions; default 4096
	IndexCacheBytes         int64         // indexes of sealed segments kept in memory; default 64 MiB
	CheckpointInterval      time.Duration // of recovery points, log start offsets and high watermarks; default 60 s
	ProducerIDExpiration    time.Duration // producer.id.expiration.ms; default 24 h
	CheckpointBytes         int64         // also checkpoint after so many flushed bytes; default 256 MiB
	ProducerCheckInterval   time.Duration // how often idle producers are looked for; default 10 min
	RecoveryConcurrency     int           // logs recovered at a time by OpenAll; default 2 x GOMAXPROCS
	SnapshotIntervalBytes   int64         // a log with producers writes a snapshot at a checkpoint after so many bytes; default 16 MiB
	RoomBytes               int64         // free space with which a directory that was full is used again; default 256 MiB
	AllocationStepSizeBytes int64         // busy segments are allocated ahead in such steps; default 16 MiB, negative: never
}

// Validate reports every fault at once.
func (c *DirConfig) Validate() error {
	var faults []error
	if c.Path == "" {
		faults = append(faults, errors.New("log directory: path is empty"))
	}
	if c.FS == nil || c.Clock == nil || c.Logger == nil {
		faults = append(faults, errors.New("log directory: FS, Clock and Logger must be set"))
	}
	if c.ClusterID == "" {
		faults = append(faults, errors.New("log directory: cluster id is empty"))
	}
	return errors.Join(faults...)
}

func (c *DirConfig) setDefaults() {
	orInt64(&c.IndexCacheBytes, 64<<20)
	orInt64(&c.CheckpointBytes, 256<<20)
	orInt64(&c.SnapshotIntervalBytes, 16<<20)
	orInt64(&c.RoomBytes, 256<<20)
	orInt64(&c.AllocationStepSizeBytes, 16<<20)
	orDuration(&c.CheckpointInterval, time.Minute)
	orDuration(&c.ProducerIDExpiration, 24*time.Hour)
	orDuration(&c.ProducerCheckInterval, 10*time.Minute)
	if c.MaxOpenFiles <= 0 {
		c.MaxOpenFiles = 4096
	}
}

func orInt64(v *int64, byDefault int64) {
	if *v == 0 {
		*v = byDefault
	}
}

func orDuration(v *time.Duration, byDefault time.Duration) {
	if *v == 0 {
		*v = byDefault
	}
}

// Config holds the settings of one log, resolved by the caller from topic configuration; names are Kafka's. A Config is
// immutable once given to a log, so many logs can share one.
type Config struct {
	SegmentBytes           int64
	SegmentMillis          int64
	SegmentJitterMillis    int64
	SegmentIndexBytes      int64 // segment.index.bytes: an active segment whose index would pass it is rolled
	IndexIntervalBytes     int64
	RetentionMillis        int64 // negative: unlimited
	RetentionBytes         int64 // negative: unlimited
	FileDeleteDelayMillis  int64
	FlushMessages          int64
	FlushMillis            int64
	Delete                 bool // cleanup.policy
	Compact                bool // cleanup.policy
	MinCleanableDirtyRatio float64
	MinCompactionLagMillis int64
	MaxCompactionLagMillis int64
	DeleteRetentionMillis  int64
	MaxMessageBytes        int64 // what the cleaner expects at most of one batch
}

// DefaultConfig holds Kafka's defaults.
func DefaultConfig() *Config {
	const day = 24 * 60 * 60 * 1000
	return &Config{
		SegmentBytes: 1 << 30, SegmentMillis: 7 * day, SegmentIndexBytes: 10 << 20, IndexIntervalBytes: 4096,
		RetentionMillis: 7 * day, RetentionBytes: -1, FileDeleteDelayMillis: 60_000,
		FlushMessages: math.MaxInt64, FlushMillis: math.MaxInt64, Delete: true,
		MinCleanableDirtyRatio: 0.5, MaxCompactionLagMillis: math.MaxInt64, DeleteRetentionMillis: day,
		MaxMessageBytes: 1048588,
	}
}

// Validate reports every fault at once.
func (c *Config) Validate() error {
	var faults []error
	if c.SegmentBytes < 1 || c.SegmentBytes > math.MaxInt32 {
		faults = append(faults, fmt.Errorf("segment.bytes: %d is not between 1 and %d", c.SegmentBytes, math.MaxInt32))
	}
	if c.SegmentMillis < 1 {
		faults = append(faults, fmt.Errorf("segment.ms: %d must be at least 1", c.SegmentMillis))
	}
	if c.SegmentIndexBytes < 12 {
		faults = append(faults, fmt.Errorf("segment.index.bytes: %d must be at least 12", c.SegmentIndexBytes))
	}
	if c.FlushMessages < 1 || c.FlushMillis < 0 {
		faults = append(faults, fmt.Errorf("flush.messages, flush.ms: %d, %d must be positive", c.FlushMessages, c.FlushMillis))
	}
	return errors.Join(faults...)
}

// rollMillis is segment.ms, or max.compaction.lag.ms where that comes first: a record cannot be compacted before its segment
// is rolled (LogConfig.maxSegmentMs).
func (c *Config) rollMillis() int64 {
	if c.Compact && c.MaxCompactionLagMillis > 0 {
		return min(c.SegmentMillis, c.MaxCompactionLagMillis)
	}
	return c.SegmentMillis
}

// Hooks are called by the log; no lock is held.
type Hooks struct {
	// Flushed is called by the directory's flusher: everything below endOffset is on disk. May be nil.
	Flushed func(endOffset int64)
}
