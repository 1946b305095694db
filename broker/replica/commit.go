package replica

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/log"
)

// flushed is the log's hook: everything below endOffset is on disk.
func (p *Partition) flushed(int64) {
	if l := p.log.Load(); l != nil && !p.Topic.Settings().AckFromMemory {
		p.hold(l, false)
	}
}

// held is what this replica holds as durably as the topic asks for.
func (p *Partition) held(l *log.Log) int64 {
	switch {
	case l == nil:
		return 0
	case p.Topic.Settings().AckFromMemory:
		return l.LogEndOffset()
	}
	return l.FlushedOffset()
}

// hold says how much the leader's own log holds. It asks the log rather than the caller: what a flush reported late may
// have been cut meanwhile.
func (p *Partition) hold(l *log.Log, here bool) {
	p.mu.Lock()
	moved := p.leader != nil && p.leader.Held(p.held(l)) && p.publish()
	p.mu.Unlock()
	if moved {
		p.spread(l, here)
	}
}

// publish makes visible what the leader's state says now, and reports whether the high watermark moved. The caller holds
// mu, and calls spread when it did.
func (p *Partition) publish() (moved bool) {
	if enough := p.leader.EnoughInSync(); enough != p.enoughInSync.Load() { // a store costs each flush more than a look
		p.enoughInSync.Store(enough)
	}
	moved = p.raise(p.leader.HighWatermark())
	return p.setKnown(p.leader.Known()) || moved
}

// setKnown says whether readers may be told the high watermark; who waits for that looks anew. The caller holds mu.
func (p *Partition) setKnown(known bool) (changed bool) {
	if p.known.Load() == known {
		return false
	}
	p.known.Store(known)
	for w := p.watches.head; known && w != nil; w = w.next {
		w.waiter.wake()
	}
	return true
}

// raise moves the high watermark up; it never goes back here.
func (p *Partition) raise(offset int64) bool {
	if offset <= p.highWatermark.Load() {
		return false
	}
	p.highWatermark.Store(offset)
	return true
}

// spread tells the log, those who wait and the followers of a new high watermark; here says that the caller has time for the
// business of those who wait.
func (p *Partition) spread(l *log.Log, here bool) {
	for l != nil {
		offset := p.highWatermark.Load()
		l.SetHighWatermark(offset)
		if p.highWatermark.Load() == offset { // else another came between, and may have told the log first
			break
		}
	}
	p.announce(here)
	p.tellSessions(newsWatermark, false)
}

// announce tells waiters about a new high watermark.
func (p *Partition) announce(here bool) {
	var few [servedHere]*Waiter // keeps the usual case from allocating
	signalled := few[:0]
	p.mu.Lock()
	p.committed = release(p.committed, p.highWatermark.Load())
	appended := p.appendedBytes.Load()
	bytes := appended - p.announcedBytes
	p.announcedBytes = appended
	for w := p.watches.head; w != nil; w = w.next {
		if w.waiter.arrived(bytes) {
			signalled = append(signalled, w.waiter)
		}
	}
	p.mu.Unlock()
	notify(signalled, here)
}

// release signals those whose offset is reached and returns the others.
func release(waiting []offsetWaiter, reached int64) []offsetWaiter {
	kept := waiting[:0]
	for _, w := range waiting {
		if w.offset <= reached {
			w.waiter.reached()
		} else {
			kept = append(kept, w)
		}
	}
	clear(waiting[len(kept):])
	return kept
}

// AwaitOffset registers the waiter unless the high watermark has reached the offset already or never will; it reports
// whether it did. The waiter is signalled when the last of its offsets is reached, or cannot be reached any more: Committed
// tells which. leaderEpoch is what Append returned.
func (p *Partition) AwaitOffset(offset int64, leaderEpoch int32, w *Waiter) bool {
	if p.highWatermark.Load() >= offset {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.highWatermark.Load() >= offset || !p.mayCommit(offset, leaderEpoch) {
		return false
	}
	w.hold()
	p.committed = append(p.committed, offsetWaiter{offset: offset, waiter: w})
	return true
}

// mayCommit reports whether what was appended below offset in that epoch can still be seen to be committed here. The caller
// holds mu.
func (p *Partition) mayCommit(offset int64, leaderEpoch int32) bool {
	return p.ReadErr() == nil && p.Leader() >= 0 && p.manager.deposed() == nil && (p.sameTenure(leaderEpoch) || p.keeps(offset, leaderEpoch))
}

// sameTenure reports whether this broker has led without a break since it appended in that epoch: only then is what lies
// at an offset certainly what was appended there. The caller holds mu.
func (p *Partition) sameTenure(leaderEpoch int32) bool {
	return p.leader != nil && leaderEpoch >= p.tenure && leaderEpoch <= p.leader.Epoch()
}

// keeps reports whether the log still has what this broker appended below offset in that epoch, whoever leads now: only the
// leader of an epoch writes records of it, and who follows another cuts those that the other does not have.
func (p *Partition) keeps(offset int64, leaderEpoch int32) bool {
	l := p.log.Load()
	if l == nil || offset > l.LogEndOffset() {
		return false
	}
	epoch, known := l.EpochAt(offset - 1)
	return known && epoch == leaderEpoch
}

// Committed says what became of records that were appended below offset in a leader epoch: nil once the in-sync replicas
// hold them, also when that is known only after another has begun to lead. Kafka answers NOT_LEADER_OR_FOLLOWER then, upon
// which a producer without idempotence writes twice. Any error leaves open what became of them: they may still be committed,
// here or by another leader.
func (p *Partition) Committed(offset int64, leaderEpoch int32) error {
	if err := p.ReadErr(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	reached, led := p.highWatermark.Load() >= offset, p.sameTenure(leaderEpoch)
	switch {
	case reached && (led || p.keeps(offset, leaderEpoch)):
		return nil
	case !led || p.manager.deposed() != nil:
		return kerr.NotLeaderForPartition
	case !p.leader.EnoughInSync():
		return kerr.NotEnoughReplicasAfterAppend
	}
	return kerr.RequestTimedOut
}

// abandon signals those whose records are not in the log any more.
func (p *Partition) abandon(logEnd int64) {
	kept := p.committed[:0]
	for _, w := range p.committed {
		if w.offset > logEnd {
			w.waiter.reached()
		} else {
			kept = append(kept, w)
		}
	}
	clear(p.committed[len(kept):])
	p.committed = kept
}

// ForgetOffset takes back what AwaitOffset registered and has not been reached.
func (p *Partition) ForgetOffset(w *Waiter) {
	p.mu.Lock()
	p.committed = slices.DeleteFunc(p.committed, func(o offsetWaiter) bool { return o.waiter == w })
	p.mu.Unlock()
}

// AwaitBytes registers a watch: the waiter is told of all bytes that become readable from now on.
func (p *Partition) AwaitBytes(watch *Watch, w *Waiter) {
	watch.waiter = w
	p.mu.Lock()
	p.watches.add(watch)
	p.mu.Unlock()
}

// Watchers returns how many watches are registered.
func (p *Partition) Watchers() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for w := p.watches.head; w != nil; w = w.next {
		n++
	}
	return n
}

// ForgetBytes takes back what AwaitBytes registered.
func (p *Partition) ForgetBytes(watch *Watch) {
	p.mu.Lock()
	p.watches.remove(watch)
	p.mu.Unlock()
}

// wakeAll signals everybody who waits: what they wait for will not happen here, or they have to look anew.
func (p *Partition) wakeAll() {
	p.mu.Lock()
	waiting := p.wakeAllLocked()
	p.mu.Unlock()
	notify(waiting, false)
	p.tellSessions(newsRole, false)
}

const everything = 1<<63 - 1

// wakeAllLocked returns who has to be notified once no lock is held any more.
func (p *Partition) wakeAllLocked() (waiting []*Waiter) {
	p.committed = release(p.committed, everything)
	return p.wakeOthersLocked()
}

// wakeOthersLocked is wakeAllLocked but for those who wait for what they have appended: the next leader may have it, and
// says so soon.
func (p *Partition) wakeOthersLocked() (waiting []*Waiter) {
	p.lowWatermarks = release(p.lowWatermarks, everything)
	for w := p.watches.head; w != nil; w = w.next {
		w.waiter.wake()
		if w.waiter.Notify != nil {
			waiting = append(waiting, w.waiter)
		}
	}
	return waiting
}
