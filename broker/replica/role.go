package replica

import (
	"slices"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/replica/isr"
	"github.com/millrace-io/millrace/metadata/image"
)

// assume takes the role that the image gives to this broker: leader, or follower of somebody, or of nobody when there is
// no leader. Called by Apply, in the order of the image; what was on disk is open by then.
func (p *Partition) assume(state *image.Partition) {
	lead := state.Leader == p.manager.cfg.NodeID
	if lead {
		p.manager.fetchers.unassign(p)
	}
	l := p.log.Load()
	p.role.Lock()
	p.mu.Lock()
	before := p.leadership.Load()
	ended := before != nil && before.LeaderEpoch != state.LeaderEpoch
	moved := false
	var waiting []*Waiter
	switch {
	case lead && p.leader != nil && p.leader.Epoch() == state.LeaderEpoch:
		p.leader.Update(stateOf(state))
		moved = p.publish()
	case lead:
		moved = p.lead(l, state)
	default:
		p.follow(state.LeaderEpoch)
	}
	p.leadership.Store(state)
	switch {
	case lead || before == nil:
	case state.Leader < 0:
		waiting = p.wakeAllLocked()
	default:
		waiting = p.wakeOthersLocked()
	}
	p.mu.Unlock()
	p.role.Unlock()
	notify(waiting, false)
	if ended {
		p.tellSessions(newsRole, false)
	}
	if !lead {
		p.manager.fetchers.assign(p, state)
		return
	}
	if moved {
		p.spread(l, false)
	}
	if l != nil {
		p.hold(l, false) // a flush may have ended before there was a leader to tell
	}
	p.considerProposal()
}

// lead begins a leadership. The caller holds role and mu.
func (p *Partition) lead(l *log.Log, state *image.Partition) (moved bool) {
	continues := p.leader != nil && p.known.Load() && p.leader.Epoch()+1 == state.LeaderEpoch
	if p.leader == nil {
		p.tenure = state.LeaderEpoch
	}
	p.leader = isr.Lead(isr.Start{
		Self: p.manager.cfg.NodeID, State: stateOf(state), Settings: p.settings(), LogEnd: p.LogEndOffset(), Held: p.held(l),
		HighWatermark: p.highWatermark.Load(), Continues: continues, Now: p.manager.cfg.Clock(),
	})
	return p.publish()
}

// follow ends a leadership, if there was one. The caller holds role and mu, and wakes who waited.
func (p *Partition) follow(leaderEpoch int32) {
	p.leader = nil
	p.enoughInSync.Store(false)
	p.follower = isr.Follower{Epoch: leaderEpoch, HighWatermark: p.highWatermark.Load()}
}

func (p *Partition) settings() isr.Settings {
	return isr.Settings{MinInSyncReplicas: p.Topic.Settings().MinInSyncReplicas, MaxLag: p.manager.cfg.MaxLag}
}

// configured follows a change of the topic's settings.
func (p *Partition) configured(l *log.Log) {
	p.mu.Lock()
	moved := false
	if p.leader != nil {
		p.leader.Configure(p.settings())
		p.leader.Held(p.held(l))
		moved = p.publish()
	}
	p.mu.Unlock()
	if moved {
		p.spread(l, false)
	}
	if l != nil && !p.Topic.Settings().AckFromMemory && l.FlushedOffset() < l.LogEndOffset() {
		l.RequestFlush() // what was cached so far
	}
}

func stateOf(p *image.Partition) isr.State {
	return isr.State{LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch, Replicas: p.Replicas, ISR: p.ISR, Lost: p.LostReplicas(), Recovering: recovering(p)}
}

// hosts reports whether this broker has a replica of the partition.
func (m *Manager) hosts(state *image.Partition) bool {
	return state != nil && slices.Contains(state.Replicas, m.cfg.NodeID)
}
