package replica

import (
	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/planted"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/replica/isr"
)

// What a fetcher does to a partition. Each step names the leader epoch that it follows, and is refused by
// errRoleChanged when the partition's role is another one by now.

// follows says whether the partition follows that epoch. The caller holds role.
func (p *Partition) follows(epoch int32) error {
	s := p.leadership.Load()
	if s == nil || s.Leader == p.manager.cfg.NodeID || s.LeaderEpoch != epoch {
		return errRoleChanged
	}
	return p.logErr()
}

// makeHeld makes durable what the log has, unless the topic is write-cached: only that is asked beyond. The epoch of the last record
// must be known then, by which the leader finds whether the logs part.
func (p *Partition) makeHeld() error {
	if err := p.ReadErr(); err != nil {
		return err
	}
	l, err := p.open(false)
	if err != nil || l == nil {
		return err
	}
	if err := l.EpochsErr(); err != nil {
		return p.failed(err)
	}
	if p.Topic.Settings().AckFromMemory {
		return nil
	}
	if err := l.Flush(); err != nil {
		return p.failed(err)
	}
	return nil
}

// fetchPosition is where the log ends, the epoch of its last record, and where it begins.
func (p *Partition) fetchPosition() (offset int64, lastEpoch int32, logStart int64) {
	l := p.log.Load()
	if l == nil {
		return 0, -1, 0
	}
	epoch, ok := l.LatestEpoch()
	if !ok || planted.Enabled && planted.Is(planted.FollowsBlindly) {
		epoch = -1
	}
	return l.LogEndOffset(), epoch, l.LogStartOffset()
}

// appendFetched appends what the leader sent for the offset where this log ends.
func (p *Partition) appendFetched(epoch int32, from int64, batches []record.Batch) (*log.Log, error) {
	p.role.RLock()
	defer p.role.RUnlock()
	if err := p.follows(epoch); err != nil {
		return nil, err
	}
	l, err := p.openForWrite()
	if err != nil {
		return nil, err
	}
	// The leader's log may begin in the middle of a batch, after DeleteRecords. An empty log then begins where the batch
	// does. Kafka: Partition.appendRecordsToFollowerOrFutureReplica.
	if first := batches[0].BaseOffset(); first < from && l.LogStartOffset() == from && l.LogEndOffset() == from {
		if err := l.TruncateFullyAndStartAt(first); err != nil {
			return nil, p.failed(err)
		}
	}
	if planted.Enabled {
		batches = plantedFollow(batches, l.LogEndOffset())
	}
	if err := l.AppendAsFollower(batches); err != nil {
		return nil, p.failed(err)
	}
	bytes := 0
	for _, b := range batches {
		bytes += len(b)
	}
	p.appendedBytes.Add(int64(bytes))
	return l, nil
}

// tell takes in how far the leader says that records are committed, and where its log begins.
func (p *Partition) tell(epoch int32, highWatermark, logStart int64) {
	p.role.RLock()
	defer p.role.RUnlock()
	if p.follows(epoch) != nil {
		return
	}
	l := p.log.Load()
	p.mu.Lock()
	newHighWatermark, newLogStart := p.follower.Told(highWatermark, logStart, p.LogEndOffset())
	moved := p.raise(newHighWatermark)
	if highWatermark >= 0 {
		moved = p.setKnown(true) || moved
	}
	p.mu.Unlock()
	if moved {
		p.spread(l, false)
	}
	if l == nil || newLogStart <= l.LogStartOffset() {
		return
	}
	if err := l.IncrementLogStartOffset(newLogStart); err != nil {
		_ = p.failed(err)
	}
}

// unheard says that the leader does not answer: who waits to hear of it what became of records that were appended here while
// this broker led waits no longer.
func (p *Partition) unheard() {
	p.mu.Lock()
	if p.leader == nil {
		p.committed = release(p.committed, everything)
	}
	p.mu.Unlock()
}

// cut ends the log where it parts from the leader's.
func (p *Partition) cut(epoch int32, leader isr.EpochEnd) error {
	p.role.RLock()
	defer p.role.RUnlock()
	if err := p.follows(epoch); err != nil {
		return err
	}
	l := p.log.Load()
	if l == nil {
		return nil
	}
	if err := l.EpochsErr(); err != nil {
		return p.failed(err)
	}
	own := isr.EpochEnd{}
	own.Epoch, own.EndOffset = l.EndOffsetForEpoch(leader.Epoch)
	return p.truncate(l, isr.Reset{Truncate: true, Offset: isr.Cut(leader, own, l.LogEndOffset())})
}

// reset follows a leader whose log does not hold the offset that was asked for.
func (p *Partition) reset(epoch int32, r isr.Reset) error {
	p.role.RLock()
	defer p.role.RUnlock()
	if err := p.follows(epoch); err != nil {
		return err
	}
	if !r.Truncate && !r.Restart {
		return nil
	}
	l, err := p.openForWrite()
	if err != nil {
		return err
	}
	return p.truncate(l, r)
}

// truncate cuts the log. The caller holds role, so nothing is appended meanwhile.
func (p *Partition) truncate(l *log.Log, r isr.Reset) error {
	before, highWatermark := l.LogEndOffset(), p.highWatermark.Load()
	var err error
	if r.Restart {
		err = l.TruncateFullyAndStartAt(r.Offset)
	} else {
		err = l.TruncateTo(r.Offset)
	}
	if err != nil {
		return p.failed(err)
	}
	p.mu.Lock()
	p.follower.Truncated(l.LogEndOffset())
	p.abandon(l.LogEndOffset())
	if p.highWatermark.Load() > l.LogEndOffset() {
		p.highWatermark.Store(l.LogEndOffset())
	}
	p.mu.Unlock()
	logged := p.manager.cfg.Logger.Info
	if r.Offset < highWatermark && !r.Restart {
		logged = p.manager.cfg.Logger.Warn // records that were committed are gone: the election was unclean
	}
	logged("log truncated to follow its leader", "topic", p.Topic.Name, "partition", p.Number, "from", before, "to", r.Offset,
		"high_watermark", highWatermark, "restarted", r.Restart)
	return nil
}
