package broker

import (
	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// offsetsTopic is the internal topic that holds the state of groups.
const offsetsTopic = "__consumer_offsets"

func (b *Broker) newGroups() *group.Service {
	offsets := &internalLog{replicas: b.replicas, topic: offsetsTopic}
	return group.New(group.Config{
		Log:            offsets,
		PartitionCount: b.partitionCount(offsetsTopic), Leaderships: offsets, Settings: b.groupSettings,
		Topics:      func() group.Topics { return groupTopics{b.metadata.Image()} },
		ShareStates: groupShares{b},
		Clock:       b.clock, Logger: b.logger, Registerer: b.registry,
	})
}

// applyToGroups tells the group coordinator which partitions it now has, and which topics are gone.
func (b *Broker) applyToGroups(delta *image.Delta) {
	for _, change := range delta.Topics {
		if t := change.Before; t != nil && change.After == nil && (t.Name != offsetsTopic || t.Tenant != security.DefaultTenant) {
			b.groups.OnTopicDeleted(t.Tenant, t.Name)
		}
	}
	b.elect(delta, offsetsTopic, b.groups)
	b.tellOfTopics(delta)
}

func (b *Broker) groupSettings() group.Settings {
	s := b.settings.Broker(b.metadata.Image())
	consumer := group.ConsumerSettings{
		SessionTimeoutMillis:     s.Int32("group.consumer.session.timeout.ms"),
		HeartbeatIntervalMillis:  s.Int32("group.consumer.heartbeat.interval.ms"),
		AssignmentIntervalMillis: s.Int32("group.consumer.assignment.interval.ms"),
	}
	return group.Settings{
		ShareMaxSize: s.Int32("group.share.max.size"),
		Share:        b.shareGroupSettings,

		StreamsMaxSize: s.Int32("group.streams.max.size"),
		Streams:        b.streamsGroupSettings,

		HeartbeatHoldMillis: s.Int32("millrace.group.heartbeat.hold.max.ms"),
		ConsumerMaxSize:     s.Int32("group.consumer.max.size"),
		ConsumerAssignors:   s.List("group.consumer.assignors"),
		MigrationPolicy:     s.String("group.consumer.migration.policy"),
		Consumer:            func(tenant, id string) group.ConsumerSettings { return b.consumerSettings(tenant, id, consumer) },

		MinSessionTimeoutMillis:     s.Int32("group.min.session.timeout.ms"),
		MaxSessionTimeoutMillis:     s.Int32("group.max.session.timeout.ms"),
		MaxSize:                     s.Int32("group.max.size"),
		InitialRebalanceDelayMillis: s.Int32("group.initial.rebalance.delay.ms"),
		OffsetMetadataMaxBytes:      s.Int32("offset.metadata.max.bytes"),
		OffsetsRetentionMillis:      s.Int64("offsets.retention.minutes") * 60_000,
		OffsetsRetentionCheckMillis: s.Int64("offsets.retention.check.interval.ms"),
		NewMemberJoinTimeoutMillis:  group.DefaultSettings().NewMemberJoinTimeoutMillis,
		OffsetCommitTimeoutMillis:   s.Int32("offsets.commit.timeout.ms"),
		MaxBatchBytes:               s.Int32("message.max.bytes"),
	}
}

// bounded reads settings of a group of one kind ("consumer", "share", "streams"), each within what the broker allows.
func bounded(group, broker config.Effective, kind string) func(name string) int32 {
	return func(name string) int32 {
		low, high := broker.Int32("group."+kind+".min."+name), broker.Int32("group."+kind+".max."+name)
		return max(low, min(high, group.Int32(kind+"."+name)))
	}
}

// consumerSettings are those of one consumer group: what is set on it counts within the broker's bounds.
func (b *Broker) consumerSettings(tenant, id string, broker group.ConsumerSettings) group.ConsumerSettings {
	i := b.metadata.Image()
	own := i.ConfigOverrides(config.Resource{Type: config.GroupResource, Tenant: tenant, Name: id})
	if own == nil {
		return broker
	}
	e, bounds := b.settings.GroupWith(i, own), b.settings.Broker(i)
	within := bounded(e, bounds, "consumer")
	return group.ConsumerSettings{
		SessionTimeoutMillis:     within("session.timeout.ms"),
		HeartbeatIntervalMillis:  within("heartbeat.interval.ms"),
		AssignmentIntervalMillis: within("assignment.interval.ms"),
	}
}

// streamsGroupSettings are those of one streams group: what is set on it counts within the broker's bounds.
func (b *Broker) streamsGroupSettings(tenant, id string) group.StreamsSettings {
	i := b.metadata.Image()
	e, bounds := b.settings.Group(i, tenant, id), b.settings.Broker(i)
	within := bounded(e, bounds, "streams")
	return group.StreamsSettings{
		SessionTimeoutMillis:     within("session.timeout.ms"),
		HeartbeatIntervalMillis:  within("heartbeat.interval.ms"),
		AssignmentIntervalMillis: within("assignment.interval.ms"),
		InitialDelayMillis:       e.Int32("streams.initial.rebalance.delay.ms"),
		StandbyReplicas:          min(bounds.Int32("group.streams.max.standby.replicas"), e.Int32("streams.num.standby.replicas")),
	}
}
