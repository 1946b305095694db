package api

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/metadata/image"
)

// Incremental fetch sessions (KIP-227): the broker remembers which partitions a client fetches and from where, so that a
// request names only what changed and an answer holds only partitions with news.
// Kafka: server.FetchSession, FetchManager.

const (
	// A session that was not used for so long may be evicted by any new one, and only sessions older than this by a
	// larger new one.
	sessionEvictionAge = 2 * time.Minute
	// All sessions together remember at most so many partitions; what goes beyond is served without a session.
	maxCachedPartitions = 1 << 20

	initialSessionEpoch = 0
	finalSessionEpoch   = -1
)

// fetchSessions is the cache of a broker's sessions.
type fetchSessions struct {
	maxSessions int // fixed

	mu         sync.Mutex
	sessions   map[int32]*fetchSession // guarded by mu
	partitions int                     // guarded by mu: of all sessions
	evicted    prometheus.Counter
}

// fetchSession belongs to a client, not to a connection: the client may come back on another one.
type fetchSession struct {
	id      int32     // fixed
	byIDs   bool      // fixed: topics are named by ids
	tenant  string    // fixed
	created time.Time // fixed

	lastUsed time.Time // guarded by fetchSessions.mu
	size     int       // guarded by fetchSessions.mu: partitions, as counted in the cache

	mu         sync.Mutex
	epoch      int32                            // guarded by mu: what the next request must say
	partitions map[sessionKey]*sessionPartition // guarded by mu
	order      sessionOrder                     // guarded by mu
}

type sessionKey struct {
	id        image.TopicID // zero where topics go by name
	name      string        // "" where topics go by id
	partition int32
}

// sessionPartition is what a session remembers of a partition.
type sessionPartition struct {
	key   sessionKey
	asked fetchPartition
	topic *replica.Topic // nil: not found yet

	toldHighWatermark, toldLogStartOffset int64 // what the client last heard; -1: must hear anew

	prev, next *sessionPartition
}

// sessionOrder is the order in which partitions are served. One that had data goes to the end, so that none starves.
type sessionOrder struct{ first, last *sessionPartition }

func (o *sessionOrder) push(p *sessionPartition) {
	p.prev, p.next = o.last, nil
	if o.last != nil {
		o.last.next = p
	} else {
		o.first = p
	}
	o.last = p
}

func (o *sessionOrder) remove(p *sessionPartition) {
	if p.prev != nil {
		p.prev.next = p.next
	} else {
		o.first = p.next
	}
	if p.next != nil {
		p.next.prev = p.prev
	} else {
		o.last = p.prev
	}
	p.prev, p.next = nil, nil
}

// fetchContext says how the request under way relates to a session.
type fetchContext struct {
	code    int16
	id      int32         // 0: no session
	session *fetchSession // nil: none
	full    bool          // every partition responds
	epoch   int32         // the session's epoch while the request is under way
}

func newFetchSessions(maxSessions int, registerer prometheus.Registerer) *fetchSessions {
	c := &fetchSessions{maxSessions: maxSessions, sessions: map[int32]*fetchSession{}}
	c.evicted = prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_fetch_sessions_evicted_total",
		Help: "Incremental fetch sessions evicted to make room for another."})
	if registerer != nil {
		registerer.MustRegister(c.evicted,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "millrace_fetch_sessions", Help: "Incremental fetch sessions."},
				func() float64 { n, _ := c.count(); return float64(n) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "millrace_fetch_session_partitions", Help: "Partitions that incremental fetch sessions remember."},
				func() float64 { _, n := c.count(); return float64(n) }))
	}
	return c
}

func (c *fetchSessions) count() (sessions, partitions int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sessions), c.partitions
}

// begin finds or makes the session of a request and fills the targets of the connection's fetch.
func (c *fetchSessions) begin(s *session, r *fetchRequest, version int16) fetchContext {
	if r.SessionEpoch == initialSessionEpoch || r.SessionEpoch == finalSessionEpoch {
		if r.SessionID != 0 {
			c.drop(r.SessionID, s.call.Identity.Tenant)
		}
		s.fetch.targetsOf(s, version)
		if r.SessionEpoch == finalSessionEpoch || len(r.Partitions) == 0 {
			return fetchContext{full: true}
		}
		created := c.create(s, r, version)
		if created == nil {
			return fetchContext{full: true}
		}
		return fetchContext{id: created.id, session: created, full: true, epoch: 1}
	}
	return c.resume(s, r, version)
}

// targetsOf makes a target of each partition of the request.
func (f *fetchState) targetsOf(s *session, version int16) {
	next := 0
	for _, t := range f.walked.Topics {
		target := fetchTarget{name: t.Name, id: t.ID}
		_ = s.resolveTarget(&target, version) // read says what is wrong
		for _, p := range f.walked.Partitions[next : next+t.Partitions] {
			target.fetchPartition = p
			f.targets = append(f.targets, target)
		}
		next += t.Partitions
	}
}

// create makes a session of the targets, nil when the cache has no room for it.
func (c *fetchSessions) create(s *session, r *fetchRequest, version int16) *fetchSession {
	now := s.services.Clock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.partitions+len(r.Partitions) > maxCachedPartitions || len(c.sessions) >= c.maxSessions && !c.evict(len(r.Partitions), now) {
		return nil
	}
	session := &fetchSession{id: c.newID(), byIDs: version >= 13, tenant: s.call.Identity.Tenant, created: now, lastUsed: now, epoch: 1,
		partitions: make(map[sessionKey]*sessionPartition, len(s.fetch.targets))}
	for i := range s.fetch.targets {
		t := &s.fetch.targets[i]
		t.cached = session.put(t.topic, t.name, t.id, t.fetchPartition)
	}
	session.size = len(session.partitions)
	c.partitions += session.size
	c.sessions[session.id] = session
	return session
}

// put adds a partition or updates what is asked of it.
func (f *fetchSession) put(topic *replica.Topic, name []byte, id image.TopicID, asked fetchPartition) *sessionPartition {
	key := sessionKey{partition: asked.Index}
	switch {
	case f.byIDs:
		key.id = id
	case topic != nil:
		key.name = topic.Name
	default:
		key.name = string(name)
	}
	p := f.partitions[key]
	if p == nil {
		p = &sessionPartition{key: key, toldHighWatermark: -1, toldLogStartOffset: -1}
		f.partitions[key] = p
		f.order.push(p)
	}
	p.asked, p.topic = asked, topic
	return p
}

// newID returns an id that no session has.
func (c *fetchSessions) newID() int32 {
	for {
		id := rand.Int32N(1<<31-2) + 1
		if c.sessions[id] == nil {
			return id
		}
	}
}

// evict makes room for a session of so many partitions: at the cost of the longest unused one if that is stale, else of
// the smallest one if that is smaller and not new.
func (c *fetchSessions) evict(size int, now time.Time) bool {
	var oldest, smallest *fetchSession
	for _, session := range c.sessions {
		if oldest == nil || session.lastUsed.Before(oldest.lastUsed) {
			oldest = session
		}
		if now.Sub(session.created) > sessionEvictionAge && (smallest == nil || cmp.Or(cmp.Compare(session.size, smallest.size), cmp.Compare(session.id, smallest.id)) < 0) {
			smallest = session
		}
	}
	switch {
	case oldest != nil && now.Sub(oldest.lastUsed) > sessionEvictionAge:
		c.removeLocked(oldest)
	case smallest != nil && smallest.size < size:
		c.removeLocked(smallest)
	default:
		return false
	}
	c.evicted.Inc()
	return true
}

func (c *fetchSessions) drop(id int32, tenant string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if session := c.sessions[id]; session != nil && session.tenant == tenant {
		c.removeLocked(session)
	}
}

func (c *fetchSessions) removeLocked(session *fetchSession) {
	if c.sessions[session.id] == session {
		delete(c.sessions, session.id)
		c.partitions -= session.size
	}
}

// resume continues a session with what the request changes.
func (c *fetchSessions) resume(s *session, r *fetchRequest, version int16) fetchContext {
	c.mu.Lock()
	session := c.sessions[r.SessionID]
	c.mu.Unlock()
	if session == nil || session.tenant != s.call.Identity.Tenant {
		return fetchContext{code: kerr.FetchSessionIDNotFound.Code}
	}
	session.mu.Lock()
	if r.SessionEpoch != session.epoch {
		session.mu.Unlock()
		return fetchContext{code: kerr.InvalidFetchSessionEpoch.Code}
	}
	if session.byIDs != (version >= 13) {
		session.mu.Unlock()
		return fetchContext{code: kerr.FetchSessionTopicIDError.Code}
	}
	session.update(s, r, version)
	size := len(session.partitions)
	context := fetchContext{id: session.id, session: session}
	if size > 0 {
		session.epoch = nextEpoch(session.epoch)
		context.epoch = session.epoch
		s.fetch.targets = session.targets(s.fetch.targets)
	}
	session.mu.Unlock()

	c.mu.Lock()
	defer c.mu.Unlock()
	session.lastUsed = s.services.Clock()
	if c.sessions[session.id] == session {
		c.partitions += size - session.size
		session.size = size
		if size == 0 || c.partitions > maxCachedPartitions {
			c.removeLocked(session)
		}
	}
	if size == 0 { // nothing is left of it: this answer closes it
		s.fetch.targetsOf(s, version)
		return fetchContext{full: true}
	}
	return context
}

func nextEpoch(epoch int32) int32 {
	if epoch == 1<<31-1 {
		return 1
	}
	return epoch + 1
}

// update applies what a request adds, changes and forgets.
func (f *fetchSession) update(s *session, r *fetchRequest, version int16) {
	next := 0
	for _, t := range r.Topics {
		target := fetchTarget{name: t.Name, id: t.ID}
		_ = s.resolveTarget(&target, version)
		for _, p := range r.Partitions[next : next+t.Partitions] {
			f.put(target.topic, t.Name, t.ID, p)
		}
		next += t.Partitions
	}
	next = 0
	for _, t := range r.Forgotten {
		for _, number := range r.ForgottenIDs[next : next+t.Partitions] {
			key := sessionKey{partition: number}
			if f.byIDs {
				key.id = t.ID
			} else {
				key.name = string(t.Name)
			}
			if p := f.partitions[key]; p != nil {
				delete(f.partitions, key)
				f.order.remove(p)
			}
		}
		next += t.Partitions
	}
}

// targets appends a target for each partition, in the order of service.
func (f *fetchSession) targets(dst []fetchTarget) []fetchTarget {
	dst = slices.Grow(dst, len(f.partitions))
	for p := f.order.first; p != nil; p = p.next {
		dst = append(dst, fetchTarget{fetchPartition: p.asked, id: p.key.id, topic: p.topic, cached: p})
	}
	return dst
}

// end decides which partitions respond, and remembers what the client hears.
func (c *fetchSessions) end(s *session, context *fetchContext) (code int16) {
	targets := s.fetch.targets
	if context.session == nil {
		for i := range targets {
			targets[i].respond = true
		}
		return 0
	}
	session := context.session
	session.mu.Lock()
	defer session.mu.Unlock()
	if session.epoch != context.epoch {
		return kerr.InvalidFetchSessionEpoch.Code // the client has sent another request meanwhile
	}
	for i := range targets {
		t := &targets[i]
		news := t.cached.told(t)
		t.respond = context.full || news
		t.cached.topic = t.topic
		if t.slice.SizeBytes > 0 && session.partitions[t.cached.key] == t.cached {
			session.order.remove(t.cached)
			session.order.push(t.cached)
		}
	}
	return 0
}

// told remembers what an answer says of the partition and reports whether the client does not know it yet.
func (p *sessionPartition) told(t *fetchTarget) (news bool) {
	news = t.slice.SizeBytes > 0 || t.divergingEpoch >= 0
	if p.toldHighWatermark != t.highWatermark {
		p.toldHighWatermark, news = t.highWatermark, true
	}
	if p.toldLogStartOffset != t.logStartOffset {
		p.toldLogStartOffset, news = t.logStartOffset, true
	}
	if t.code != 0 {
		p.toldHighWatermark, news = -1, true // so that the end of the error is news
	}
	return news
}
