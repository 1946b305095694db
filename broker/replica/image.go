package replica

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/replica/isr"
	"github.com/millrace-io/millrace/metadata/image"
)

// view is the image of the last delta, and the look at its brokers.
type view struct {
	image   *image.Image
	brokers isr.Brokers
}

func (m *Manager) see(img *image.Image) {
	m.current.Store(&view{image: img, brokers: func(id int32) isr.Broker {
		if b := img.Broker(id); b != nil {
			return isr.Broker{Epoch: b.Epoch, Active: active(b)}
		}
		return isr.Broker{}
	}})
}

// brokers looks brokers up in the image of now.
func (m *Manager) brokers() isr.Brokers { return m.current.Load().brokers }

// active says that a broker may be in sync.
func active(b *image.Broker) bool { return b.Active() }

// recovering says that the leader was elected unclean and has not settled.
func recovering(p *image.Partition) bool { return p.RecoveryState == image.Recovering }

// CheckFollower refuses an earlier start of a broker than the one that is registered.
func (m *Manager) CheckFollower(nodeID int32, brokerEpoch int64) error {
	if brokerEpoch < m.brokers()(nodeID).Epoch {
		return kerr.StaleBrokerEpoch
	}
	return nil
}

// PreferredReplica returns the in-sync follower in a reader's rack that has most of what the reader wants (KIP-392); -1
// when the leader is as near or nobody is. Kafka: ReplicaManager.findPreferredReadReplica, RackAwareReplicaSelector.
func (p *Partition) PreferredReplica(rack []byte, offset int64) int32 {
	m := p.manager
	if !m.cfg.RackAware || len(rack) == 0 {
		return -1
	}
	img := m.current.Load().image
	if own := img.Broker(m.cfg.NodeID); own != nil && own.Rack == string(rack) {
		return -1
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leader == nil {
		return -1
	}
	best := isr.Position{ID: -1, Offset: -1}
	for _, at := range p.leader.Positions() {
		b := img.Broker(at.ID)
		if b.Active() && b.Rack == string(rack) && slices.Contains(p.leader.ISR(), at.ID) && at.Offset >= offset && at.LogStart <= offset && at.Offset > best.Offset {
			best = at
		}
	}
	return best.ID
}
