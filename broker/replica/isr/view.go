package isr

import (
	"slices"
	"time"
)

// Epoch is the leader epoch.
func (l *Leader) Epoch() int32 { return l.epoch }

// PartitionEpoch is that of the committed set.
func (l *Leader) PartitionEpoch() int32 { return l.partitionEpoch }

// EpochStart is where the log ended when the epoch began.
func (l *Leader) EpochStart() int64 { return l.epochStart }

// HighWatermark is the offset below which everything is committed.
func (l *Leader) HighWatermark() int64 { return l.highWatermark }

// Known says whether the high watermark can be told to a reader. A new leader's own notion may be behind what its
// predecessor told; whatever that was lies below the start of the epoch, so from there on it is known.
func (l *Leader) Known() bool { return l.highWatermark >= l.knownFrom }

// ISR returns the committed in-sync set by id; it must not be changed.
func (l *Leader) ISR() []int32 { return l.isr }

// Maximal returns the set that the high watermark counts with, by id: the committed one and whom a proposal would add.
func (l *Leader) Maximal() []int32 {
	all := slices.Clone(l.isr)
	if l.pending != nil {
		for _, m := range l.pending.ISR {
			all = append(all, m.ID)
		}
	}
	return sorted(all)
}

// Pending returns the proposal under way.
func (l *Leader) Pending() (p Proposal, ok bool) {
	if l.pending == nil {
		return Proposal{}, false
	}
	return *l.pending, true
}

// EnoughInSync says whether acks=all may be given: min.insync.replicas of them are in sync, or all if there are fewer.
func (l *Leader) EnoughInSync() bool {
	return len(l.isr) >= min(l.settings.MinInSyncReplicas, l.replicas)
}

// LowWatermark is the smallest log start offset of the replicas whose brokers live, this one's being logStart. Kafka
// answers DeleteRecords once it has reached what was asked for. Unlike there, nobody waits for a replica whose log is lost.
func (l *Leader) LowWatermark(logStart int64, brokers Brokers) int64 {
	for i := range l.followers {
		if f := &l.followers[i]; brokers(f.id).Active && !slices.Contains(l.lost, f.id) {
			logStart = min(logStart, f.logStart)
		}
	}
	return logStart
}

// Position is what the leader knows of a follower.
type Position struct {
	ID          int32
	BrokerEpoch int64
	Offset      int64
	LogStart    int64
	CaughtUp    time.Time
}

// Positions returns what is known of the followers.
func (l *Leader) Positions() []Position {
	all := make([]Position, len(l.followers))
	for i := range l.followers {
		all[i] = l.followers[i].position()
	}
	return all
}

// Position returns what is known of one follower; ok is false when it is no replica.
func (l *Leader) Position(id int32) (p Position, ok bool) {
	if f := l.find(id); f != nil {
		return f.position(), true
	}
	return Position{}, false
}

func (f *follower) position() Position {
	return Position{f.id, f.brokerEpoch, f.offset, f.logStart, f.caughtUp}
}
