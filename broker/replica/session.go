package replica

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/replica/isr"
	"github.com/millrace-io/millrace/metadata/image"
)

// A follower's fetch session (KIP-227) on its leader. Unlike a consumer's it belongs to one connection, and a round costs
// only the partitions that the follower names or that have news: appends, high watermarks and changes of role put a
// partition into the session's queue.

// What is new of a partition.
const (
	newsBytes     uint32 = 1 << iota // records were appended
	newsWatermark                    // the high watermark or the log start offset moved
	newsRole                         // who leads, or whether the log can be used
)

// watermarkDelay is how long a new high watermark waits for records to go with it: a follower under load learns of high
// watermarks by the way, and one that idles has them soon enough for its readers.
const watermarkDelay = 5 * time.Millisecond

// FollowerSession is what this broker knows of one fetcher of a follower. It has one owner at a time, whoever answers on its
// connection; partitions only put themselves into its queue.
type FollowerSession struct {
	ID          int32
	NodeID      int32
	BrokerEpoch int64
	Epoch       int32 // of the request expected next

	manager *Manager
	entries map[partitionKey]*followed

	// C receives one value when something was put into the queue, or the follower wants to say something else.
	C chan struct{}

	notify      func(here bool) // fixed: called after C was given its value; nil: nobody need be told
	interrupted atomic.Bool
	reminder    *time.Timer // tells the owner of high watermarks
	reminding   atomic.Bool // the reminder is set
	reminded    atomic.Bool // it has gone off

	mu    sync.Mutex
	heard time.Time   // guarded by mu: the follower has read something that was written after it
	queue []*followed // guarded by mu: partitions with news
	spare []*followed // owned by the session's goroutine
	told  time.Time   // owned by the session's goroutine: the last answer was written after it
}

type partitionKey struct {
	id     image.TopicID
	number int32
}

// ReplicaFetch is what a follower asks of one partition.
type ReplicaFetch struct {
	CurrentLeaderEpoch int32
	FetchOffset        int64
	LastFetchedEpoch   int32
	LogStartOffset     int64
	MaxBytes           int32
}

// followed is one partition in a session.
type followed struct {
	session   *FollowerSession // fixed
	key       partitionKey     // fixed
	partition *Partition       // owned by the session; nil: none such here
	asked     ReplicaFetch     // owned by the session
	refused   error            // owned by the session: of the fetch that was asked last

	toldHighWatermark, toldLogStart int64 // owned by the session; what the follower was told

	news atomic.Uint32 // what is new; while not 0 it is in the queue, or its owner is looking
}

// NewFollowerSession begins a session. Close ends it. notify, which may be nil, is called when there is news, after C was given
// its value: by who brings them if here, who then has time to answer; no lock is held.
func (m *Manager) NewFollowerSession(nodeID int32, brokerEpoch int64, notify func(here bool)) *FollowerSession {
	s := &FollowerSession{NodeID: nodeID, BrokerEpoch: brokerEpoch, manager: m, entries: map[partitionKey]*followed{}, C: make(chan struct{}, 1), notify: notify}
	s.reminder = time.AfterFunc(time.Hour, s.remind)
	s.reminder.Stop()
	m.sessionsMu.Lock()
	defer m.sessionsMu.Unlock()
	for s.ID == 0 || m.sessions[s.ID] != nil {
		s.ID = rand.Int32N(1<<31-2) + 1
	}
	m.sessions[s.ID] = s
	return s
}

// Close ends the session.
func (s *FollowerSession) Close() {
	s.manager.sessionsMu.Lock()
	delete(s.manager.sessions, s.ID)
	s.manager.sessionsMu.Unlock()
	for _, e := range s.entries {
		e.leave()
	}
	s.entries = nil
	s.reminder.Stop()
}

// InterruptFollower ends the wait of a session: its follower has something else to ask.
func (m *Manager) InterruptFollower(nodeID, sessionID int32) (found bool) {
	m.sessionsMu.Lock()
	s := m.sessions[sessionID]
	m.sessionsMu.Unlock()
	if s == nil || s.NodeID != nodeID {
		return false
	}
	s.interrupted.Store(true)
	s.signal(true)
	return true
}

// Interrupted reports, once, whether the follower wants an answer now.
func (s *FollowerSession) Interrupted() bool { return s.interrupted.Swap(false) }

// signal tells the owner of news; here says that the caller has the time to answer itself.
func (s *FollowerSession) signal(here bool) {
	select {
	case s.C <- struct{}{}:
	default:
	}
	if s.notify != nil {
		s.notify(here)
	}
}

// Remind has the owner told in a moment of what does not hurry.
func (s *FollowerSession) Remind() {
	if s.reminding.CompareAndSwap(false, true) {
		s.reminder.Reset(watermarkDelay)
	}
}

func (s *FollowerSession) remind() {
	s.reminding.Store(false)
	s.reminded.Store(true)
	s.signal(true)
}

// Reminded reports, once, that what does not hurry has waited long enough.
func (s *FollowerSession) Reminded() bool { return s.reminded.Swap(false) }

// Size returns how many partitions the session has.
func (s *FollowerSession) Size() int { return len(s.entries) }

// Ask takes in that the follower asks for a partition from an offset: everything below is what it holds. The partition
// is in the queue afterwards, be it for its records or for the error.
func (s *FollowerSession) Ask(id image.TopicID, number int32, asked ReplicaFetch) {
	key := partitionKey{id, number}
	e := s.entries[key]
	if e == nil {
		e = &followed{session: s, key: key, toldHighWatermark: -1, toldLogStart: -1}
		s.entries[key] = e
	}
	if e.partition == nil || e.partition.removed.Load() {
		e.leave()
		e.join(s.manager.replica(id, number))
	}
	e.asked = asked
	e.refused = kerr.UnknownTopicID
	if e.partition != nil {
		e.refused = e.partition.fetchedBy(s, &e.asked)
	}
	e.put(newsBytes)
}

// Forget takes a partition out of the session.
func (s *FollowerSession) Forget(id image.TopicID, number int32) {
	key := partitionKey{id, number}
	if e := s.entries[key]; e != nil {
		delete(s.entries, key)
		e.leave()
	}
}

// replica returns a partition whatever its role, nil when there is none.
func (m *Manager) replica(id image.TopicID, number int32) *Partition {
	if t := m.TopicByID(id); t != nil {
		return t.Partition(number)
	}
	return nil
}

// join registers with the partition.
func (e *followed) join(p *Partition) {
	if e.partition = p; p == nil {
		return
	}
	p.mu.Lock()
	var all []*followed
	if old := p.sessions.Load(); old != nil {
		all = slices.Clone(*old)
	}
	all = append(all, e)
	p.sessions.Store(&all)
	p.mu.Unlock()
}

func (e *followed) leave() {
	p := e.partition
	if p == nil {
		return
	}
	e.partition = nil
	p.mu.Lock()
	all := slices.DeleteFunc(slices.Clone(*p.sessions.Load()), func(o *followed) bool { return o == e })
	p.sessions.Store(&all)
	if len(all) == 0 {
		p.sessions.Store(nil)
	}
	p.mu.Unlock()
}

// tellSessions puts the partition into the queues of the followers that read it. here says that the caller has the time to
// answer them, and holds no lock.
func (p *Partition) tellSessions(news uint32, here bool) {
	if all := p.sessions.Load(); all != nil {
		for i, e := range *all {
			e.tell(news, here && i < servedHere)
		}
	}
}

func (e *followed) tell(news uint32, here bool) {
	switch {
	case !e.put(news):
	case news == newsWatermark:
		e.session.Remind()
	default:
		e.session.signal(here)
	}
}

// put adds news and reports whether they are; the first to come while there was none also puts the partition into the queue.
func (e *followed) put(news uint32) bool {
	old := e.news.Or(news)
	if old&news == news {
		return false
	}
	if s := e.session; old == 0 {
		s.mu.Lock()
		s.queue = append(s.queue, e)
		s.mu.Unlock()
	}
	return true
}

// take empties the queue.
func (s *FollowerSession) take() []*followed {
	s.mu.Lock()
	taken := s.queue
	s.queue = s.spare[:0]
	s.mu.Unlock()
	s.spare = taken
	return taken
}

// Found is what there is to say of one partition.
type Found struct {
	Topic          image.TopicID
	Number         int32
	Err            error
	HighWatermark  int64 // -1: this leader does not know it yet
	LogStartOffset int64
	LogEndOffset   int64        // where this log ends, when what was asked for lies outside of it; else -1
	Slice          log.Slice    // to be released by whoever takes it
	Diverging      isr.EpochEnd // Epoch -1: the logs do not diverge
}

// Collect appends what there is to say to the follower, at most maxBytes of records but at least one batch. urgent says
// that there is more than high watermarks among it: it is to be sent now. What does not fit stays in the queue. Nothing
// found means that there is nothing to say.
func (s *FollowerSession) Collect(found []Found, maxBytes int) (_ []Found, urgent bool) {
	bytes := 0
	taken := s.take()
	for _, e := range taken {
		if e.news.Swap(0) == 0 || s.entries[e.key] != e {
			continue
		}
		if bytes >= maxBytes {
			e.put(newsBytes)
			continue
		}
		f, more := e.read(maxBytes-bytes, bytes == 0)
		if more {
			e.put(newsBytes)
		}
		bytes += f.Slice.SizeBytes
		news := f.Err != nil || f.Slice.SizeBytes > 0 || f.Diverging.Epoch >= 0
		urgent = urgent || news
		if news || f.HighWatermark > e.toldHighWatermark || f.LogStartOffset > e.toldLogStart {
			found = append(found, f)
		}
	}
	clear(taken)
	return found, urgent
}

// Told remembers what an answer with these partitions tells the follower. What Collect found and is not told must be
// given back by Untold.
func (s *FollowerSession) Told(found []Found) {
	s.told = s.manager.cfg.Clock()
	for i := range found {
		f := &found[i]
		e := s.entries[partitionKey{f.Topic, f.Number}]
		if e == nil {
			continue
		}
		if f.Err != nil {
			s.Forget(f.Topic, f.Number) // the follower asks again when it thinks that it is worth it
			continue
		}
		e.toldHighWatermark, e.toldLogStart = max(e.toldHighWatermark, f.HighWatermark), max(e.toldLogStart, f.LogStartOffset)
	}
}

// Untold puts what was collected back into the queue.
func (s *FollowerSession) Untold(found []Found) {
	for i := range found {
		found[i].Slice.Release()
		if e := s.entries[partitionKey{found[i].Topic, found[i].Number}]; e != nil {
			e.put(newsWatermark)
		}
	}
}

// read reads the partition from the offset that the follower asked for. more says that another read would find more.
func (e *followed) read(maxBytes int, first bool) (f Found, more bool) {
	f = Found{Topic: e.key.id, Number: e.key.number, Err: e.refused, HighWatermark: -1, LogStartOffset: -1, LogEndOffset: -1,
		Diverging: isr.EpochEnd{Epoch: -1, EndOffset: -1}}
	p := e.partition
	if f.Err != nil {
		if errors.Is(f.Err, kerr.OffsetOutOfRange) {
			f.LogStartOffset, f.LogEndOffset = p.LogStartOffset(), p.LogEndOffset()
		}
		return f, false
	}
	if f.Err = p.leadsIn(e.asked.CurrentLeaderEpoch); f.Err != nil {
		return f, false
	}
	if end, diverges, err := p.divergence(&e.asked); diverges || err != nil {
		f.Err = err
		if diverges {
			f.Diverging = end
		}
		return f, false
	}
	if p.known.Load() {
		f.HighWatermark = p.HighWatermark()
	}
	f.LogStartOffset = p.LogStartOffset()
	l := p.log.Load()
	if l == nil || e.asked.FetchOffset >= l.LogEndOffset() {
		return f, false
	}
	now := p.manager.cfg.Clock()
	if wait := p.mayRead(e.session.NodeID, now); wait > 0 {
		time.AfterFunc(wait, func() { e.tell(newsBytes, true) })
		return f, false
	}
	room := min(maxBytes, int(e.asked.MaxBytes))
	f.Slice, f.Err = l.Read(e.asked.FetchOffset, l.LogEndOffset(), room, first)
	p.wasRead(e.session.NodeID, f.Slice.SizeBytes, now)
	return f, f.Err == nil && f.Slice.SizeBytes == 0 && !first
}
