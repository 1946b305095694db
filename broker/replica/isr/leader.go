package isr

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// unknown is an offset, an epoch or a broker epoch that nobody has told yet.
const unknown = -1

// State is what the metadata says of a partition.
type State struct {
	LeaderEpoch    int32
	PartitionEpoch int32
	Replicas       []int32
	ISR            []int32
	Lost           []int32 // replicas whose brokers cannot use their logs: they fetch nothing and join nothing
	// Recovering says that the leader was elected unclean and has not said yet that it has settled.
	Recovering bool
}

// Broker is what the image says of a broker.
type Broker struct {
	Epoch  int64 // of its registration
	Active bool  // neither fenced nor on its way out
}

// Brokers looks a broker up; the zero Broker is one that is not registered.
type Brokers func(id int32) Broker

// Settings are what a partition's topic and broker are configured to. They may change at any time.
type Settings struct {
	MinInSyncReplicas int           // min.insync.replicas
	MaxLag            time.Duration // replica.lag.time.max.ms
}

// Leader is one leadership: of one partition in one leader epoch. Its owner calls it from one goroutine at a time.
type Leader struct {
	self       int32 // fixed, as are the three below
	epoch      int32
	epochStart int64 // the log's end when the epoch began
	knownFrom  int64 // from here on the high watermark is not behind what readers were told before

	settings       Settings
	partitionEpoch int32
	replicas       int       // how many there are, this one included
	isr            []int32   // committed; sorted
	lost           []int32   // of State
	recovering     bool      // of State
	pending        *Proposal // under way; nil: none
	holdOff        time.Time // no proposal before: the last one was refused

	held          int64 // what this replica holds
	highWatermark int64
	followers     []follower // every replica, and whoever is in sync, but this one
}

// follower is what the leader knows of another replica.
type follower struct {
	id          int32
	brokerEpoch int64 // of the fetch that told the rest; unknown before the first
	offset      int64 // what it holds
	logStart    int64

	lastFetch       time.Time
	lastFetchLogEnd int64     // the leader's log end at that fetch
	caughtUp        time.Time // the last time at which it held all that the leader had
	// joining says that it is caught up and may become in sync: the high watermark does not run away from it.
	joining bool
}

// Start is what a leadership begins with.
type Start struct {
	Self          int32
	State         State
	Settings      Settings
	LogEnd        int64 // of this replica; where the epoch begins
	Held          int64 // by this replica
	HighWatermark int64 // as far as this replica knows: at most LogEnd
	// Continues says that this broker led the epoch right before, too: nobody has told readers more than it has.
	Continues bool
	Now       time.Time
}

// Lead begins a leadership, also when this broker led the epoch before: what followers told then means nothing now. Those
// in sync count as caught up, so that each has the whole of MaxLag to come.
func Lead(s Start) *Leader {
	l := &Leader{self: s.Self, epoch: s.State.LeaderEpoch, epochStart: s.LogEnd, settings: s.Settings,
		held: min(s.Held, s.LogEnd), highWatermark: min(s.HighWatermark, s.LogEnd)}
	if l.knownFrom = l.epochStart; s.Continues {
		l.knownFrom = min(l.highWatermark, l.epochStart)
	}
	l.adopt(s.State)
	for i := range l.followers {
		if f := &l.followers[i]; slices.Contains(l.isr, f.id) {
			f.caughtUp = s.Now
		}
	}
	l.advance()
	return l
}

// adopt takes over a newer state of the same leader epoch; followers that stay keep what they told.
func (l *Leader) adopt(s State) {
	l.partitionEpoch, l.replicas, l.recovering = s.PartitionEpoch, len(s.Replicas), s.Recovering
	before := l.isr
	l.isr, l.lost = sorted(s.ISR), s.Lost
	l.pending = nil
	old := l.followers
	l.followers = make([]follower, 0, len(s.Replicas))
	for _, id := range append(slices.Clone(s.Replicas), s.ISR...) {
		if id == l.self || l.find(id) != nil {
			continue
		}
		f := follower{id: id, brokerEpoch: unknown, offset: unknown, logStart: unknown}
		if i := slices.IndexFunc(old, func(o follower) bool { return o.id == id }); i >= 0 {
			f = old[i]
		}
		if slices.Contains(l.lost, id) || slices.Contains(before, id) && !slices.Contains(l.isr, id) {
			f.left()
		}
		l.followers = append(l.followers, f)
	}
}

func sorted(ids []int32) []int32 {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (l *Leader) find(id int32) *follower {
	for i := range l.followers {
		if l.followers[i].id == id {
			return &l.followers[i]
		}
	}
	return nil
}

// Update follows the image within the leader epoch. A state that is not newer than what is known changes nothing: the
// controller's answer may be quicker than the image. It reports whether the high watermark moved.
func (l *Leader) Update(s State) (advanced bool) {
	if s.LeaderEpoch != l.epoch || s.PartitionEpoch <= l.partitionEpoch {
		return false
	}
	l.adopt(s)
	return l.advance()
}

// Configure follows a change of settings. It reports whether the high watermark moved.
func (l *Leader) Configure(s Settings) (advanced bool) {
	l.settings = s
	return l.advance()
}

// Held says that this replica holds everything below offset. It reports whether the high watermark moved.
func (l *Leader) Held(offset int64) (advanced bool) {
	if offset <= l.held {
		return false
	}
	l.held = offset
	return l.advance()
}

// Fetch is what a follower's fetch says of it: it holds everything below Offset, the same records as the leader.
type Fetch struct {
	ID          int32
	BrokerEpoch int64
	Offset      int64
	LogStart    int64
}

// Fetched takes in a follower's fetch whose offset lies within the leader's log and whose last epoch does not diverge.
// It refuses who is no replica, and a fetch of an earlier start of the broker: what that one held may be lost. propose
// says that Propose is worth asking.
func (l *Leader) Fetched(f Fetch, logEnd int64, now time.Time, brokers Brokers) (advanced, propose bool, err error) {
	r := l.find(f.ID)
	if r == nil {
		return false, false, kerr.NotLeaderForPartition
	}
	known := brokers(f.ID)
	if f.BrokerEpoch < max(r.brokerEpoch, known.Epoch) {
		return false, false, kerr.StaleBrokerEpoch
	}
	if f.BrokerEpoch > r.brokerEpoch && r.brokerEpoch != unknown {
		r.restarted()
	}
	switch {
	case f.Offset >= logEnd:
		r.caughtUp = now
	case r.offset != unknown && f.Offset >= r.lastFetchLogEnd:
		r.caughtUp = latest(r.caughtUp, r.lastFetch)
	}
	r.brokerEpoch, r.offset, r.logStart = f.BrokerEpoch, f.Offset, f.LogStart
	r.lastFetch, r.lastFetchLogEnd = now, max(r.lastFetchLogEnd, logEnd)
	r.joining = l.mayJoin(r, logEnd, now, known)
	advanced = l.advance()
	return advanced, r.joining && l.pending == nil && l.reached(r), nil
}

// left says that the controller took the follower out of the in-sync set, so it was away. That it was caught up a moment
// before means nothing then: while it is far behind it must not hold back what is committed. (Kafka lets it, for as long as
// replica.lag.time.max.ms after its restart.)
// Follows reports that a replica has fetched in this leader's epoch.
func (l *Leader) Follows(id int32) bool {
	f := l.find(id)
	return f != nil && f.offset != unknown
}

func (f *follower) left() { f.caughtUp, f.lastFetch, f.joining = time.Time{}, time.Time{}, false }

// restarted forgets what an earlier start of the broker told.
func (f *follower) restarted() {
	*f = follower{id: f.id, brokerEpoch: unknown, offset: unknown, logStart: unknown, caughtUp: f.caughtUp}
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// mayJoin says whether a follower out of sync is near enough to become in sync. One whose log is lost is not, however near it
// was: it would hold back what is committed for MaxLag, and the controller would not have it.
func (l *Leader) mayJoin(f *follower, logEnd int64, now time.Time, known Broker) bool {
	return !slices.Contains(l.isr, f.id) && !slices.Contains(l.lost, f.id) && f.offset != unknown && eligible(f, known) && l.caughtUp(f, logEnd, now)
}

// eligible is KIP-903: the start of the broker that fetches is the one that the image knows as active.
func eligible(f *follower, known Broker) bool {
	return known.Active && known.Epoch == f.brokerEpoch
}

func (l *Leader) caughtUp(f *follower, logEnd int64, now time.Time) bool {
	return f.offset >= logEnd || !f.caughtUp.IsZero() && now.Sub(f.caughtUp) <= l.settings.MaxLag
}

// reached says whether a follower holds all that is committed, and all that was there when the epoch began.
func (l *Leader) reached(f *follower) bool {
	return f.offset >= l.highWatermark && f.offset >= l.epochStart
}

// advance moves the high watermark to what everybody who counts holds.
func (l *Leader) advance() bool {
	if !l.EnoughInSync() {
		return false
	}
	next := l.held
	for i := range l.followers {
		if f := &l.followers[i]; f.offset < next && (f.joining || l.counts(f.id)) {
			next = f.offset
		}
	}
	if next <= l.highWatermark {
		return false
	}
	l.highWatermark = next
	return true
}

// counts says whether a replica is in the maximal set.
func (l *Leader) counts(id int32) bool {
	return slices.Contains(l.isr, id) || l.pending != nil && l.pending.has(id)
}
