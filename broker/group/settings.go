package group

import (
	"strconv"
	"sync"
	"time"
)

// settingsMaxAge is how long a dynamic change may go unnoticed.
const settingsMaxAge = time.Second

// Settings are Kafka's group settings, resolved by the caller from broker configuration. They are read anew every second.
type Settings struct {
	MinSessionTimeoutMillis     int32 // group.min.session.timeout.ms
	MaxSessionTimeoutMillis     int32 // group.max.session.timeout.ms
	MaxSize                     int32 // group.max.size
	InitialRebalanceDelayMillis int32 // group.initial.rebalance.delay.ms
	OffsetMetadataMaxBytes      int32 // offset.metadata.max.bytes
	OffsetsRetentionMillis      int64 // offsets.retention.minutes
	OffsetsRetentionCheckMillis int64 // offsets.retention.check.interval.ms
	OffsetCommitTimeoutMillis   int32 // offsets.commit.timeout.ms
	NewMemberJoinTimeoutMillis  int32 // how long the first JoinGroup of a member may wait; Kafka fixes it at 5 minutes
	MaxBatchBytes               int32 // max.message.bytes of the offsets topic

	HeartbeatHoldMillis int32 // millrace.group.heartbeat.hold.max.ms

	ConsumerMaxSize   int32    // group.consumer.max.size
	ConsumerAssignors []string // group.consumer.assignors: the first is the default
	MigrationPolicy   string   // group.consumer.migration.policy
	// Consumer is what applies to a group of the consumer protocol (resource type GROUP); nil: the defaults.
	Consumer func(tenant, group string) ConsumerSettings

	ShareMaxSize int32 // group.share.max.size
	// Share is what applies to a share group (resource type GROUP); nil: the defaults.
	Share func(tenant, group string) ShareSettings

	StreamsMaxSize int32 // group.streams.max.size
	// Streams is what applies to a streams group (resource type GROUP); nil: the defaults.
	Streams func(tenant, group string) StreamsSettings
}

// StreamsSettings are those that a streams group may have of its own.
type StreamsSettings struct {
	SessionTimeoutMillis     int32 // streams.session.timeout.ms
	HeartbeatIntervalMillis  int32 // streams.heartbeat.interval.ms
	AssignmentIntervalMillis int32 // streams.assignment.interval.ms
	InitialDelayMillis       int32 // streams.initial.rebalance.delay.ms
	StandbyReplicas          int32 // streams.num.standby.replicas
}

// DefaultStreamsSettings are Kafka's defaults.
func DefaultStreamsSettings() StreamsSettings {
	return StreamsSettings{SessionTimeoutMillis: 45000, HeartbeatIntervalMillis: 5000, AssignmentIntervalMillis: 1000, InitialDelayMillis: 3000}
}

// assignmentConfigs are the settings that an assignment depends on, as the log has them.
func (s StreamsSettings) assignmentConfigs() map[string]string {
	return map[string]string{"num.standby.replicas": strconv.Itoa(int(s.StandbyReplicas))}
}

// ShareSettings are those that a share group may have of its own.
type ShareSettings struct {
	SessionTimeoutMillis     int32 // share.session.timeout.ms
	HeartbeatIntervalMillis  int32 // share.heartbeat.interval.ms
	AssignmentIntervalMillis int32 // share.assignment.interval.ms
}

// DefaultShareSettings are Kafka's defaults.
func DefaultShareSettings() ShareSettings {
	return ShareSettings{SessionTimeoutMillis: 45000, HeartbeatIntervalMillis: 5000, AssignmentIntervalMillis: 1000}
}

// ConsumerSettings are those that a group of the consumer protocol may have of its own.
type ConsumerSettings struct {
	SessionTimeoutMillis     int32 // consumer.session.timeout.ms
	HeartbeatIntervalMillis  int32 // consumer.heartbeat.interval.ms
	AssignmentIntervalMillis int32 // consumer.assignment.interval.ms
}

// DefaultConsumerSettings are Kafka's defaults.
func DefaultConsumerSettings() ConsumerSettings {
	return ConsumerSettings{SessionTimeoutMillis: 45000, HeartbeatIntervalMillis: 5000, AssignmentIntervalMillis: 1000}
}

func (s Settings) defaultAssignor() string {
	if len(s.ConsumerAssignors) > 0 {
		return s.ConsumerAssignors[0]
	}
	return "uniform"
}

func (s *shard) consumerSettings(key groupKey) ConsumerSettings {
	if resolve := s.settings().Consumer; resolve != nil {
		return resolve(key.tenant, key.id)
	}
	return DefaultConsumerSettings()
}

// DefaultSettings are Kafka's defaults.
func DefaultSettings() Settings {
	return Settings{
		MinSessionTimeoutMillis:     6000,
		MaxSessionTimeoutMillis:     1800000,
		MaxSize:                     1<<31 - 1,
		InitialRebalanceDelayMillis: 3000,
		OffsetMetadataMaxBytes:      4096,
		OffsetsRetentionMillis:      7 * 24 * 3600 * 1000,
		OffsetsRetentionCheckMillis: 600000,
		OffsetCommitTimeoutMillis:   5000,
		NewMemberJoinTimeoutMillis:  5 * 60 * 1000,
		MaxBatchBytes:               1048588,
		HeartbeatHoldMillis:         2500,
		ConsumerMaxSize:             1<<31 - 1,
		ShareMaxSize:                200,
		StreamsMaxSize:              1<<31 - 1,
		ConsumerAssignors:           []string{"uniform", "range"},
		MigrationPolicy:             "bidirectional",
	}
}

// cached keeps settings for settingsMaxAge: resolving them takes longer than a heartbeat does.
func cached(resolve func() Settings, clock func() time.Time) func() Settings {
	var (
		mu       sync.Mutex
		settings Settings
		resolved time.Time
	)
	return func() Settings {
		now := clock()
		mu.Lock()
		fresh, known := now.Sub(resolved) < settingsMaxAge, settings
		mu.Unlock()
		if fresh {
			return known
		}
		known = resolve()
		mu.Lock()
		settings, resolved = known, now
		mu.Unlock()
		return known
	}
}
