package replica

import (
	"sync/atomic"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// Topic is what this broker keeps of a topic: its settings and the partitions that it hosts.
type Topic struct {
	ID       image.TopicID // fixed
	Tenant   string        // fixed
	Name     string        // fixed
	Internal bool          // fixed

	settings   atomic.Pointer[Settings]
	partitions atomic.Pointer[[]*Partition] // by number; nil where this broker has no replica
	removed    atomic.Bool
}

// Removed reports whether the topic was deleted: whoever kept it must look again.
func (t *Topic) Removed() bool { return t.removed.Load() }

// Settings returns the topic's settings; they are replaced as a whole.
func (t *Topic) Settings() *Settings { return t.settings.Load() }

// Partition returns the partition of that number, nil when this broker has none.
func (t *Topic) Partition(number int32) *Partition {
	all := *t.partitions.Load()
	if number < 0 || int(number) >= len(all) {
		return nil
	}
	return all[number]
}

// PartitionCount returns how many partitions the topic has, on this broker or elsewhere.
func (t *Topic) PartitionCount() int { return len(*t.partitions.Load()) }

// directoryName is the topic's part of a partition's directory name. Names of other tenants could be equal.
func (t *Topic) directoryName() string {
	if t.Tenant == security.DefaultTenant {
		return t.Name
	}
	return t.Tenant + "~" + t.Name
}

// Settings are a topic's settings in the form that the hot paths use. Immutable.
type Settings struct {
	Log               *log.Config
	Rules             record.Rules // without ZstdAllowed and TopicPartition, which depend on the request
	MinInSyncReplicas int
	// AckFromMemory: a record counts as held by this replica once it is appended, not only when it is flushed.
	AckFromMemory   bool
	UncleanElection bool // any replica may be elected where no other can

	throttledLeaders   throttledReplicas // leader.replication.throttled.replicas
	throttledFollowers throttledReplicas // follower.replication.throttled.replicas
}

func newSettings(s *config.TopicSettings) *Settings {
	rules := record.Rules{
		MaxMessageBytes: int(s.MaxMessageBytes), BeforeMaxMillis: s.TimestampBeforeMaxMillis, AfterMaxMillis: s.TimestampAfterMaxMillis,
		Compacted: s.CleanupCompact, Compression: compression(s), EveryRecord: s.ValidateRecords,
	}
	if s.LogAppendTime {
		rules.TimestampType = record.LogAppendTime
	}
	return &Settings{
		Rules: rules, MinInSyncReplicas: int(s.MinInSyncReplicas), UncleanElection: s.UncleanLeaderElection,
		AckFromMemory: s.WriteCaching && s.FlushMessages > 1, // flush.messages=1 asks for a flush before every ack
		Log: &log.Config{
			SegmentBytes: int64(s.SegmentBytes), SegmentMillis: s.SegmentMillis, SegmentJitterMillis: s.SegmentJitterMillis,
			SegmentIndexBytes: int64(s.SegmentIndexBytes), IndexIntervalBytes: int64(s.IndexIntervalBytes),
			RetentionMillis: s.RetentionMillis, RetentionBytes: s.RetentionBytes, FileDeleteDelayMillis: s.FileDeleteDelayMillis,
			FlushMessages: s.FlushMessages, FlushMillis: s.FlushMillis, Delete: s.CleanupDelete, Compact: s.CleanupCompact,
			MinCleanableDirtyRatio: s.MinCleanableDirtyRatio, MinCompactionLagMillis: s.MinCompactionLagMillis,
			MaxCompactionLagMillis: s.MaxCompactionLagMillis, DeleteRetentionMillis: s.DeleteRetentionMillis,
			MaxMessageBytes: int64(s.MaxMessageBytes),
		},
	}
}

// Zstd reports whether all batches of the topic are compressed with zstd, which clients before Fetch version 10 cannot read.
func (s *Settings) Zstd() bool {
	return s.Rules.Compression.Recode && s.Rules.Compression.Codec == record.Zstd
}

func compression(s *config.TopicSettings) record.Compression {
	switch s.CompressionType {
	case "gzip":
		return record.Compression{Recode: true, Codec: record.Gzip, Level: s.CompressionGzipLevel}
	case "snappy":
		return record.Compression{Recode: true, Codec: record.Snappy}
	case "lz4":
		return record.Compression{Recode: true, Codec: record.LZ4, Level: s.CompressionLz4Level}
	case "zstd":
		return record.Compression{Recode: true, Codec: record.Zstd, Level: s.CompressionZstdLevel}
	case "uncompressed":
		return record.Compression{Recode: true, Codec: record.None}
	}
	return record.Compression{} // producer
}
