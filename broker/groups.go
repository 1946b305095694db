package broker

import (
	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// offsetsTopic is the internal topic that holds the state of groups.
const offsetsTopic = "__consumer_offsets"

func (b *Broker) newGroups() *group.Service {
	return group.New(group.Config{
		Log:            &internalLog{replicas: b.replicas, topic: offsetsTopic},
		PartitionCount: b.partitionCount(offsetsTopic), Settings: b.groupSettings,
		Clock: b.clock, Logger: b.logger, Registerer: b.registry,
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
}

func (b *Broker) groupSettings() group.Settings {
	s := b.settings.Broker(b.metadata.Image())
	return group.Settings{
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
