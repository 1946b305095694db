package isr

import (
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// refusedHoldOff is how long the leader waits after the controller refused a follower: it knows something of a broker
// that has not reached this one's image.
const refusedHoldOff = 250 * time.Millisecond

// Member is a replica of a proposed set, and the start of its broker that the leader knows.
type Member struct {
	ID          int32
	BrokerEpoch int64 // -1: not known
}

// Proposal asks the controller for another in-sync set. It holds for one partition epoch.
type Proposal struct {
	LeaderEpoch    int32
	PartitionEpoch int32
	ISR            []Member // by id; includes the leader
}

func (p *Proposal) has(id int32) bool {
	return slices.ContainsFunc(p.ISR, func(m Member) bool { return m.ID == id })
}

// Tick looks at the clock: a follower that has not been caught up for longer than MaxLag lags. One that holds all there is
// counts as caught up now, whether it says so again or not: in an idle partition nothing is asked for. It reports whether
// the high watermark moved, and whether Propose is worth asking. To be called several times within MaxLag.
func (l *Leader) Tick(logEnd int64, now time.Time, brokers Brokers) (advanced, propose bool) {
	for i := range l.followers {
		f := &l.followers[i]
		if f.offset >= logEnd {
			f.caughtUp = latest(f.caughtUp, now)
		}
		f.joining = l.mayJoin(f, logEnd, now, brokers(f.id))
		propose = propose || l.belongs(f, logEnd, now) != slices.Contains(l.isr, f.id)
	}
	return l.advance(), (propose || l.recovering) && l.pending == nil
}

// belongs says whether a follower should be in sync.
func (l *Leader) belongs(f *follower, logEnd int64, now time.Time) bool {
	if slices.Contains(l.isr, f.id) {
		return l.caughtUp(f, logEnd, now)
	}
	return f.joining && l.reached(f)
}

// Propose returns the set to ask the controller for, and counts with it from now on, until Answered or Update. ok is
// false when a proposal is under way or there is nothing to change. selfEpoch is the registration of this broker.
func (l *Leader) Propose(selfEpoch, logEnd int64, now time.Time, brokers Brokers) (p Proposal, ok bool) {
	if l.pending != nil || now.Before(l.holdOff) {
		return Proposal{}, false
	}
	p = Proposal{LeaderEpoch: l.epoch, PartitionEpoch: l.partitionEpoch, ISR: []Member{{l.self, selfEpoch}}}
	changed := l.recovering
	for i := range l.followers {
		f := &l.followers[i]
		f.joining = l.mayJoin(f, logEnd, now, brokers(f.id))
		belongs := l.belongs(f, logEnd, now)
		changed = changed || belongs != slices.Contains(l.isr, f.id)
		if belongs {
			p.ISR = append(p.ISR, Member{f.id, knownEpoch(f, brokers)})
		}
	}
	if !changed {
		return Proposal{}, false
	}
	slices.SortFunc(p.ISR, func(a, b Member) int { return int(a.ID) - int(b.ID) })
	l.pending = &p
	return p, true
}

// knownEpoch is the start that a follower fetches as; of one that has not fetched yet what the image says.
func knownEpoch(f *follower, brokers Brokers) int64 {
	if f.brokerEpoch != unknown {
		return f.brokerEpoch
	}
	if b := brokers(f.id); b.Active {
		return b.Epoch
	}
	return unknown
}

// Answered takes in the controller's answer to a proposal: with err nil the partition's new state, of which Replicas
// means nothing. retry says that the outcome is not known or may be better later: the same proposal is to be sent again.
// An answer to a proposal that the image has overtaken changes nothing.
func (l *Leader) Answered(p Proposal, s State, err error, now time.Time) (advanced, retry bool) {
	if l.pending == nil || p.LeaderEpoch != l.epoch || p.PartitionEpoch != l.pending.PartitionEpoch {
		return false, false
	}
	switch fateOf(err) {
	case accepted:
		return l.accept(s), false
	case notApplied:
		l.pending, l.holdOff = nil, now.Add(refusedHoldOff)
		return l.advance(), false
	case superseded: // the proposal counts until the image tells what came instead
		return false, false
	}
	return false, true
}

// accept takes over what the controller answered, unless that takes somebody out: such a set counts once the image holds it.
// min.insync.replicas may have been raised in an entry before it, which this broker does not know yet; the controller then
// reckons with a high watermark that stands still, and may elect whom it took out (KIP-966).
func (l *Leader) accept(s State) (advanced bool) {
	if s.LeaderEpoch != l.epoch || s.PartitionEpoch < l.partitionEpoch || s.PartitionEpoch > l.partitionEpoch && l.shrinks(s.ISR) {
		return false // the image will tell
	}
	l.partitionEpoch, l.recovering, l.pending = s.PartitionEpoch, s.Recovering, nil
	l.isr = sorted(s.ISR)
	for i := range l.followers {
		f := &l.followers[i]
		f.joining = f.joining && !slices.Contains(l.isr, f.id)
	}
	return l.advance()
}

func (l *Leader) shrinks(isr []int32) bool {
	return slices.ContainsFunc(l.isr, func(id int32) bool { return !slices.Contains(isr, id) })
}

// Abandon takes a proposal back that was never sent.
func (l *Leader) Abandon() (advanced bool) {
	l.pending = nil
	return l.advance()
}

// fate is what became of a proposal.
type fate int

const (
	outcomeUnknown fate = iota
	accepted
	notApplied
	superseded
)

// fateOf reads the error of an answer as Kafka's Partition.handleAlterPartitionError does.
func fateOf(err error) fate {
	switch {
	case err == nil:
		return accepted
	case errors.Is(err, kerr.OperationNotAttempted), errors.Is(err, kerr.IneligibleReplica):
		return notApplied
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.FencedLeaderEpoch),
		errors.Is(err, kerr.InvalidUpdateVersion), errors.Is(err, kerr.NewLeaderElected), errors.Is(err, kerr.InvalidRequest):
		return superseded
	}
	return outcomeUnknown
}
