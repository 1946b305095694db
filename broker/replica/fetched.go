package replica

import (
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/replica/isr"
)

// leadsIn says whether this broker leads the partition in the epoch that a follower follows.
func (p *Partition) leadsIn(epoch int32) error {
	if err := p.Err(); err != nil {
		return err
	}
	return compareEpoch(epoch, p.LeaderEpoch())
}

// divergence finds where a follower's log and this one part, from the epoch of the last record that the follower has.
func (p *Partition) divergence(asked *ReplicaFetch) (end isr.EpochEnd, diverges bool, err error) {
	if asked.LastFetchedEpoch < 0 {
		return end, false, nil
	}
	end.Epoch, end.EndOffset, err = p.EndOffsetForEpoch(asked.LastFetchedEpoch)
	return end, end.EndOffset >= 0 && (end.Epoch < asked.LastFetchedEpoch || end.EndOffset < asked.FetchOffset), err
}

// fetchedBy takes in a follower's fetch. What it says of the follower counts only when it follows the epoch that this
// broker leads in, and its log is a part of this one's.
func (p *Partition) fetchedBy(s *FollowerSession, asked *ReplicaFetch) error {
	if err := p.leadsIn(asked.CurrentLeaderEpoch); err != nil {
		return err
	}
	if end, diverges, err := p.divergence(asked); diverges || err != nil {
		return err // read tells where
	} else if end.EndOffset < 0 && asked.LastFetchedEpoch >= 0 {
		return kerr.OffsetOutOfRange
	}
	l := p.log.Load()
	logEnd := p.LogEndOffset()
	if asked.FetchOffset < p.LogStartOffset() || asked.FetchOffset > logEnd {
		return kerr.OffsetOutOfRange
	}
	fetch := isr.Fetch{ID: s.NodeID, BrokerEpoch: s.BrokerEpoch, Offset: asked.FetchOffset, LogStart: asked.LogStartOffset}
	now, brokers := p.manager.cfg.Clock(), p.manager.brokers()
	p.mu.Lock()
	if p.leader == nil || p.leader.Epoch() != asked.CurrentLeaderEpoch {
		p.mu.Unlock()
		return kerr.NotLeaderForPartition // it has just ended
	}
	_, propose, err := p.leader.Fetched(fetch, logEnd, now, brokers)
	moved := p.publish()
	if len(p.lowWatermarks) > 0 {
		p.lowWatermarks = release(p.lowWatermarks, p.lowWatermark())
	}
	p.mu.Unlock()
	if moved {
		p.spread(l, false)
	}
	if propose {
		p.manager.proposer.want(p)
	}
	return err
}
