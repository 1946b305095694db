package config

import "strings"

// TopicSettings are a topic's effective settings as plain values, resolved once for each change.
type TopicSettings struct {
	CleanupDelete, CleanupCompact                     bool
	CompressionType                                   string // producer, uncompressed, or a codec's name
	CompressionGzipLevel                              int
	CompressionLz4Level                               int
	CompressionZstdLevel                              int
	DeleteRetentionMillis, FileDeleteDelayMillis      int64
	FlushMessages, FlushMillis                        int64
	IndexIntervalBytes                                int32
	MinCompactionLagMillis, MaxCompactionLagMillis    int64
	MaxMessageBytes                                   int32
	LogAppendTime                                     bool
	TimestampBeforeMaxMillis, TimestampAfterMaxMillis int64
	MinCleanableDirtyRatio                            float64
	MinInSyncReplicas                                 int32
	Preallocate                                       bool
	RetentionBytes, RetentionMillis                   int64 // -1: no limit
	SegmentBytes, SegmentIndexBytes                   int32
	SegmentMillis, SegmentJitterMillis                int64
	UncleanLeaderElection                             bool
	RemoteStorage                                     bool
	LocalRetentionBytes, LocalRetentionMillis         int64 // -2: as the whole log's
	ValidateRecords                                   bool
	WriteCaching                                      bool
}

// TopicSettings resolves the settings of a topic with these overrides into plain values.
func (r *Resolver) TopicSettings(overrides Overrides, topic map[string]string) *TopicSettings {
	e := r.TopicWith(overrides, topic)
	policy := strings.ToLower(e.String("cleanup.policy"))
	return &TopicSettings{
		CleanupDelete: strings.Contains(policy, "delete"), CleanupCompact: strings.Contains(policy, "compact"),
		CompressionType:          e.String("compression.type"),
		CompressionGzipLevel:     int(e.Int32("compression.gzip.level")),
		CompressionLz4Level:      int(e.Int32("compression.lz4.level")),
		CompressionZstdLevel:     int(e.Int32("compression.zstd.level")),
		DeleteRetentionMillis:    e.Int64("delete.retention.ms"),
		FileDeleteDelayMillis:    e.Int64("file.delete.delay.ms"),
		FlushMessages:            e.Int64("flush.messages"),
		FlushMillis:              e.Int64("flush.ms"),
		IndexIntervalBytes:       e.Int32("index.interval.bytes"),
		MinCompactionLagMillis:   e.Int64("min.compaction.lag.ms"),
		MaxCompactionLagMillis:   e.Int64("max.compaction.lag.ms"),
		MaxMessageBytes:          e.Int32("max.message.bytes"),
		LogAppendTime:            e.String("message.timestamp.type") == "LogAppendTime",
		TimestampBeforeMaxMillis: e.Int64("message.timestamp.before.max.ms"),
		TimestampAfterMaxMillis:  e.Int64("message.timestamp.after.max.ms"),
		MinCleanableDirtyRatio:   e.Float64("min.cleanable.dirty.ratio"),
		MinInSyncReplicas:        e.Int32("min.insync.replicas"),
		Preallocate:              e.Bool("preallocate"),
		RetentionBytes:           e.Int64("retention.bytes"),
		RetentionMillis:          e.Int64("retention.ms"),
		SegmentBytes:             e.segmentBytes(),
		SegmentIndexBytes:        e.Int32("segment.index.bytes"),
		SegmentMillis:            e.Int64("segment.ms"),
		SegmentJitterMillis:      e.Int64("segment.jitter.ms"),
		UncleanLeaderElection:    e.Bool("unclean.leader.election.enable"),
		RemoteStorage:            e.Bool("remote.storage.enable"),
		LocalRetentionBytes:      e.Int64("local.retention.bytes"),
		LocalRetentionMillis:     e.Int64("local.retention.ms"),
		ValidateRecords:          e.Bool("validate.records"),
		WriteCaching:             e.Bool("write.caching"),
	}
}

// segmentBytes prefers the setting that tests use to have segments smaller than Kafka allows otherwise.
func (e Effective) segmentBytes() int32 {
	if size, ok := e.Value("internal.segment.bytes"); ok && size != "" {
		return e.Int32("internal.segment.bytes")
	}
	return e.Int32("segment.bytes")
}
