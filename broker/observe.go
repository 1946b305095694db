package broker

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/millrace-io/millrace/broker/gateway"
	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/broker/replica"
)

// gatewayConfig says what the HTTP listener shows of this node.
func (b *Broker) gatewayConfig() gateway.Config {
	live := []gateway.Check{{Name: "metadata_store", Fault: b.metadata.Err}}
	ready := append([]gateway.Check{
		{Name: "metadata_leader", Fault: b.leaderFault},
		{Name: "log_directories", Fault: b.directoryFault},
	}, live...)
	return gateway.Config{
		Listener: b.httpListener, Logger: b.logger, Version: b.cfg.Version, NodeID: b.cfg.NodeID, ClusterID: b.metadata.ClusterID,
		Gatherer: b.registry, Registerer: b.registry, Live: live, Ready: ready, Lag: lagSource{b.groups, b.replicas},
	}
}

func (b *Broker) leaderFault() error {
	if _, ok := b.metadata.Leader(); !ok {
		return errors.New("the metadata quorum has no leader that this node knows")
	}
	return nil
}

func (b *Broker) directoryFault() error {
	faults := slices.Clone(b.leftOut)
	for _, dir := range b.dirs {
		faults = append(faults, dir.Err())
	}
	return errors.Join(faults...)
}

// lagSource is what consumer lag is computed from.
type lagSource struct {
	groups   *group.Service
	replicas *replica.Manager
}

// CommittedOffsets yields the offsets of every group that this broker coordinates.
func (l lagSource) CommittedOffsets(ctx context.Context) iter.Seq[group.CommittedOffset] {
	return l.groups.CommittedOffsets(ctx)
}

// EndOffset returns the high watermark of a partition that this broker leads.
func (l lagSource) EndOffset(tenant, topic string, number int32) (int64, bool) {
	p, err := l.replicas.ByName(tenant, topic, number)
	if err != nil {
		return 0, false
	}
	return p.HighWatermark(), true
}
