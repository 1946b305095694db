package broker

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/broker/share"
	"github.com/millrace-io/millrace/broker/share/delivery"
	"github.com/millrace-io/millrace/broker/share/state"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

func (b *Broker) newShareStates() *state.Service {
	return state.NewService(state.Config{
		Log:            &internalLog{replicas: b.replicas, topic: state.TopicName},
		PartitionCount: b.partitionCount(state.TopicName), Settings: b.shareStateSettings,
		Exists: func(topic [16]byte, partition int32) bool {
			t := b.metadata.Image().TopicByID(image.TopicID(topic))
			return t != nil && t.Partition(partition) != nil
		},
		Prune: b.pruneShareStates,
		Clock: b.clock, Logger: b.logger, Registerer: b.registry,
	})
}

// pruneShareStates deletes what snapshots have replaced.
func (b *Broker) pruneShareStates(partition int32, offset int64) error {
	p, fault := b.replicas.ByName(security.DefaultTenant, state.TopicName, partition)
	if fault != nil {
		return fault
	}
	if offset = min(offset, p.HighWatermark()); offset <= p.LogStartOffset() {
		return nil
	}
	_, _, err := p.DeleteRecords(offset)
	return err
}

func (b *Broker) shareStateSettings() state.Settings {
	s := b.settings.Broker(b.metadata.Image())
	millis := func(name string) time.Duration { return time.Duration(s.Int64(name)) * time.Millisecond }
	return state.Settings{
		UpdatesPerSnapshot:   int(s.Int32("share.coordinator.snapshot.update.records.per.snapshot")),
		WriteTimeout:         millis("share.coordinator.write.timeout.ms"),
		ColdSnapshotInterval: millis("share.coordinator.cold.partition.snapshot.interval.ms"),
		PruneInterval:        millis("share.coordinator.state.topic.prune.interval.ms"),
		MaxBatchBytes:        int(s.Int32("message.max.bytes")),
	}
}

// newShareClient makes the way to share coordinators, here and on other brokers.
func (b *Broker) newShareClient() *state.Client {
	return state.NewClient(state.ClientConfig{
		NodeID: b.cfg.NodeID, Service: b.shareStates,
		Leader: func(ctx context.Context, k state.Key) (int32, bool) { return b.handlers.ShareStateLeader(ctx, k) },
		Ask: func(ctx context.Context, nodeID int32, request kmsg.Request) (kmsg.Response, error) {
			return b.company.asking.Do(ctx, nodeID, request)
		},
	})
}

func (b *Broker) newShares() *share.Manager {
	return share.New(share.Config{
		Replicas: b.replicas, States: b.shareClient, Settings: b.shareSettings,
		MaxSessions: func() int {
			return int(b.settings.Broker(b.metadata.Image()).Int32("group.share.max.share.sessions"))
		},
		Clock: b.clock, Logger: b.logger, Registerer: b.registry,
	})
}

// shareSettings are those of one share group.
func (b *Broker) shareSettings(tenant, group string) share.Settings {
	i := b.metadata.Image()
	s, bounds := b.settings.Group(i, tenant, group), b.settings.Broker(i)
	within := func(name string) int64 { // what is set on a group counts within the broker's bounds
		return max(bounds.Int64("group.share.min."+name), min(bounds.Int64("group.share.max."+name), s.Int64("share."+name)))
	}
	return share.Settings{
		Limits: delivery.Limits{
			MaxDeliveries: int16(within("delivery.count.limit")),
			MaxInFlight:   within("partition.max.record.locks"),
			Lock:          time.Duration(within("record.lock.duration.ms")) * time.Millisecond,
		},
		ReadCommitted: s.String("share.isolation.level") == "read_committed",
		Reset:         s.String("share.auto.offset.reset"),
		Renew:         s.Bool("share.renew.acknowledge.enable"),
	}
}

// applyToShareStates tells the share coordinator which partitions it now has, and which topics are gone.
func (b *Broker) applyToShareStates(delta *image.Delta) {
	for _, change := range delta.Topics {
		if t := change.Before; t != nil && change.After == nil {
			b.shareStates.OnTopicDeleted(t.ID)
		}
	}
	b.elect(delta, state.TopicName, b.shareStates)
}

// groupShares are the share coordinators as the group coordinator asks them.
type groupShares struct{ b *Broker }

// InitializeShares implements group.ShareStates.
func (g groupShares) InitializeShares(ctx context.Context, tenant, id string, states []group.ShareState) []error {
	all := make([]state.Initial, len(states))
	for i, s := range states {
		all[i] = state.Initial{Key: shareKey(tenant, id, s), StateEpoch: s.StateEpoch, Start: s.Start}
	}
	return g.b.shareClient.Initialize(ctx, all)
}

// DeleteShares implements group.ShareStates.
func (g groupShares) DeleteShares(ctx context.Context, tenant, id string, states []group.ShareState) []error {
	keys := make([]state.Key, len(states))
	for i, s := range states {
		keys[i] = shareKey(tenant, id, s)
	}
	return g.b.shareClient.Delete(ctx, keys)
}

func shareKey(tenant, id string, s group.ShareState) state.Key {
	return state.Key{Group: state.GroupName(tenant, id), Topic: s.TopicID, Partition: s.Partition}
}

// shareGroupSettings are those that the group coordinator needs of a share group: what is set on it counts within the
// broker's bounds.
func (b *Broker) shareGroupSettings(tenant, id string) group.ShareSettings {
	i := b.metadata.Image()
	e, bounds := b.settings.Group(i, tenant, id), b.settings.Broker(i)
	within := bounded(e, bounds, "share")
	return group.ShareSettings{
		SessionTimeoutMillis:     within("session.timeout.ms"),
		HeartbeatIntervalMillis:  within("heartbeat.interval.ms"),
		AssignmentIntervalMillis: within("assignment.interval.ms"),
	}
}
