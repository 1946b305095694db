package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

const (
	// firstBackoff is the pause after a first failure; it doubles up to replica.fetch.backoff.ms.
	firstBackoff = 10 * time.Millisecond
	// answerPatience is how long an answer may take beyond what the leader was asked to wait: replica.socket.timeout.ms.
	answerPatience = 30 * time.Second
)

// fetcher copies the partitions of one leader and class. Its goroutine does one round after another: ask, append, make
// durable, ask again. Everything without a word of its own is owned by that goroutine.
type fetcher struct {
	key     fetcherKey // fixed, as are the next four
	manager *Manager
	ctx     context.Context
	cancel  context.CancelFunc
	wake    chan struct{} // capacity 1: there are changes

	interrupts chan int32   // capacity 1: the session whose wait is to end
	waiting    atomic.Int32 // id of the session that waits at the leader; 0: none does

	mu      sync.Mutex
	changes []assignment // guarded by mu: of the partitions, in order

	states    map[partitionKey]*fetchState
	due       []*fetchState  // to be named in the next request
	forgotten []partitionKey // to be forgotten by the next request
	delayed   int            // states that wait for their back-off to end

	conn      Leader
	unhook    func() bool // takes back that the end of ctx closes conn
	sessionID int32
	epoch     int32
	backoff   time.Duration
	request   fetchRequest
	answer    fetchAnswer
	buf       []byte
	round     roundState
}

// assignment is one change of what a fetcher copies.
type assignment struct {
	partition *Partition
	epoch     int32
	remove    bool
}

// fetchState is where the fetcher is with one partition.
type fetchState struct {
	key       partitionKey
	partition *Partition
	epoch     int32 // of the leader
	offset    int64 // held by this replica, and asked for next
	lastEpoch int32 // of the last record below offset
	logStart  int64

	inSession bool // the leader has it in its session
	named     bool // it is in due
	dueAt     int  // its place there
	backoff   time.Duration
	notBefore time.Time // zero: not delayed
	throttled bool      // it rests for a throttle and not after a failure
}

func newFetcher(m *Manager, key fetcherKey) *fetcher {
	f := &fetcher{key: key, manager: m, wake: make(chan struct{}, 1), interrupts: make(chan int32, 1), states: map[partitionKey]*fetchState{}}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// change notes a change; tell makes it known.
func (f *fetcher) change(a assignment) {
	f.mu.Lock()
	f.changes = append(f.changes, a)
	f.mu.Unlock()
}

func (f *fetcher) tell() {
	signal(f.wake)
	if id := f.waiting.Load(); id != 0 {
		select {
		case f.interrupts <- id:
		default:
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// interruptLeader asks leaders to answer at once, on a connection of its own: the fetcher's waits at the leader for
// records while there is something new to ask.
func (f *fetcher) interruptLeader() {
	for {
		select {
		case <-f.ctx.Done():
			return
		case id := <-f.interrupts:
			ctx, cancel := context.WithTimeout(f.ctx, f.manager.cfg.FetchWait)
			cfg := &f.manager.cfg
			_, _ = cfg.Leaders.Do(ctx, f.key.leader, &fetchRequest{nodeID: cfg.NodeID, brokerEpoch: cfg.BrokerEpoch(), sessionID: id, epoch: -1}) // else the wait ends by itself
			cancel()
		}
	}
}

// run is the fetcher's goroutine.
func (f *fetcher) run() {
	defer f.disconnect()
	for f.ctx.Err() == nil {
		f.takeChanges()
		wait := f.endBackoffs(time.Now())
		if len(f.states) == f.delayed {
			f.sleep(wait)
			continue
		}
		if err := f.fetch(wait); err != nil {
			f.failed(err)
		} else {
			f.backoff = 0
		}
	}
}

// sleep waits for a change, at most so long; without any partition left the connection is given up.
func (f *fetcher) sleep(wait time.Duration) {
	if len(f.states) == 0 {
		f.disconnect()
		wait = time.Hour
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-f.wake:
	case <-timer.C:
	case <-f.ctx.Done():
	}
}

// failed gives the connection up and pauses.
func (f *fetcher) failed(err error) {
	f.disconnect()
	if f.ctx.Err() != nil {
		return
	}
	last, longest := f.backoff, f.manager.cfg.FetchBackoff
	f.backoff = nextBackoff(last, longest)
	level := slog.LevelDebug
	if last < longest && f.backoff == longest { // a leader that restarts is followed elsewhere, or answers again, before that
		level = slog.LevelWarn
	}
	f.manager.cfg.Logger.Log(f.ctx, level, "fetch from leader failed", "leader", f.key.leader, "partitions", len(f.states), "error", err)
	if last > 0 { // the first failure may be of an old connection
		for _, s := range f.states {
			s.partition.unheard()
		}
	}
	f.sleep(f.backoff)
}

func nextBackoff(last, longest time.Duration) time.Duration {
	return min(max(2*last, firstBackoff), longest)
}

// disconnect ends the connection, and with it the session.
func (f *fetcher) disconnect() {
	if f.conn != nil {
		f.unhook()
		_ = f.conn.Close()
		f.conn = nil
	}
	f.endSession()
}

// endSession lets the next request begin a session anew, with every partition that is not delayed.
func (f *fetcher) endSession() {
	f.sessionID, f.epoch = 0, 0
	f.forgotten, f.due = f.forgotten[:0], f.due[:0]
	for _, s := range f.states {
		s.inSession, s.named = false, false
		if s.notBefore.IsZero() {
			f.name(s)
		}
	}
}

// name lets the next request name a partition.
func (f *fetcher) name(s *fetchState) {
	if !s.named {
		s.named, s.dueAt = true, len(f.due)
		f.due = append(f.due, s)
	}
}

// takeChanges takes over what Apply has changed.
func (f *fetcher) takeChanges() {
	f.mu.Lock()
	changes := f.changes
	f.changes = nil
	f.mu.Unlock()
	for _, c := range changes {
		key := partitionKey{c.partition.Topic.ID, c.partition.Number}
		s := f.states[key]
		switch {
		case s != nil && s.partition == c.partition && !c.remove && s.epoch == c.epoch:
			s.relieve()
		case c.remove:
			f.drop(s)
		default:
			f.drop(s)
			f.start(c, key)
		}
	}
}

// start begins to copy a partition from where its log ends, once that is durable.
func (f *fetcher) start(c assignment, key partitionKey) {
	s := &fetchState{key: key, partition: c.partition, epoch: c.epoch}
	f.states[key] = s
	if err := s.partition.makeHeld(); err != nil {
		f.delay(s)
		return
	}
	s.measure()
	f.name(s)
}

// measure notes where the log of the partition is.
func (s *fetchState) measure() {
	s.offset, s.lastEpoch, s.logStart = s.partition.fetchPosition()
}

func (f *fetcher) drop(s *fetchState) {
	if s == nil {
		return
	}
	delete(f.states, s.key)
	f.unname(s)
	if !s.notBefore.IsZero() {
		f.delayed--
	}
	f.forget(s)
}

func (f *fetcher) unname(s *fetchState) {
	if !s.named {
		return
	}
	s.named = false
	last := len(f.due) - 1 // takes its place: a leader that is gone leaves thousands here, to be taken out one by one
	f.due[s.dueAt], f.due[last].dueAt = f.due[last], s.dueAt
	f.due[last] = nil
	f.due = f.due[:last]
}

// forget takes a partition out of the leader's session.
func (f *fetcher) forget(s *fetchState) {
	if s.inSession {
		s.inSession = false
		f.forgotten = append(f.forgotten, s.key)
	}
}

// delay lets a partition rest after a failure, while the others go on.
func (f *fetcher) delay(s *fetchState) {
	s.backoff = nextBackoff(s.backoff, f.manager.cfg.FetchBackoff)
	s.throttled = false
	f.rest(s, time.Now().Add(s.backoff))
}

// rest takes a partition out of the requests until a time.
func (f *fetcher) rest(s *fetchState, until time.Time) {
	if s.notBefore.IsZero() {
		f.delayed++
	}
	s.notBefore = until
	f.unname(s)
	f.forget(s)
}

// relieve ends a rest for a throttle, since the throttle may have changed; under the same one it will rest longer the next time.
func (s *fetchState) relieve() {
	if s.throttled && !s.notBefore.IsZero() {
		s.notBefore = time.Unix(1, 0)
	}
}

// endBackoffs names the partitions that have rested long enough, and returns how long the next one has to.
func (f *fetcher) endBackoffs(now time.Time) (wait time.Duration) {
	wait = f.manager.cfg.FetchWait
	if f.delayed == 0 {
		return wait
	}
	for _, s := range f.states {
		switch {
		case s.notBefore.IsZero():
		case !s.notBefore.After(now):
			s.notBefore = time.Time{}
			f.delayed--
			if s.partition.makeHeld() != nil {
				f.delay(s)
				continue
			}
			s.measure()
			f.name(s)
		default:
			wait = min(wait, s.notBefore.Sub(now))
		}
	}
	return wait
}

// fetch does one round.
func (f *fetcher) fetch(wait time.Duration) error {
	cfg := &f.manager.cfg
	brokerEpoch := cfg.BrokerEpoch()
	if brokerEpoch < 0 {
		return errors.New("this broker is not registered")
	}
	if f.conn == nil {
		conn, err := cfg.Leaders.Dial(f.ctx, f.key.leader)
		if err != nil {
			return err
		}
		f.conn, f.unhook = conn, context.AfterFunc(f.ctx, func() { _ = conn.Close() })
	}
	f.prepare(brokerEpoch, wait)
	if !f.beginWait() {
		f.request.waitMillis = 0
	}
	var err error
	f.buf, err = f.conn.DoInto(&f.request, &f.answer, f.buf, wait+answerPatience)
	f.waiting.Store(0)
	if err != nil {
		return err
	}
	return f.take(&f.answer)
}

// prepare makes the request of the round.
func (f *fetcher) prepare(brokerEpoch int64, wait time.Duration) {
	cfg := &f.manager.cfg
	if f.sessionID == 0 {
		wait = 0 // a leader cannot be interrupted before it has given the session a name
	}
	if len(f.due) > 1 {
		slices.SortFunc(f.due, func(a, b *fetchState) int { return compareKeys(a.key, b.key) })
		for i, s := range f.due {
			s.dueAt = i
		}
	}
	slices.SortFunc(f.forgotten, compareKeys)
	f.forgotten = slices.DeleteFunc(f.forgotten, func(k partitionKey) bool { s := f.states[k]; return s != nil && s.named })
	f.request = fetchRequest{
		nodeID: cfg.NodeID, brokerEpoch: brokerEpoch, waitMillis: int32(wait.Milliseconds()), maxBytes: int32(cfg.ResponseMaxBytes),
		maxEach: int32(cfg.FetchMaxBytes), sessionID: f.sessionID, epoch: f.epoch, asked: f.due, forgotten: f.forgotten,
	}
}

// beginWait says that from now on changes have to interrupt the leader. It reports whether there are none yet.
func (f *fetcher) beginWait() bool {
	f.waiting.Store(f.sessionID)
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.changes) == 0
}

// take works an answer off.
func (f *fetcher) take(a *fetchAnswer) error {
	if a.code != 0 {
		err := kerr.ErrorForCode(a.code)
		if errors.Is(err, kerr.FetchSessionIDNotFound) || errors.Is(err, kerr.InvalidFetchSessionEpoch) {
			f.endSession()
			return nil
		}
		return fmt.Errorf("fetch from broker %d: %w", f.key.leader, err)
	}
	for _, s := range f.due {
		s.named, s.inSession = false, true
	}
	f.due, f.forgotten = f.due[:0], f.forgotten[:0]
	f.sessionID, f.epoch = a.sessionID, nextSessionEpoch(f.epoch)
	f.apply(a)
	return nil
}

func nextSessionEpoch(epoch int32) int32 {
	if epoch == 1<<31-1 {
		return 1
	}
	return epoch + 1
}
