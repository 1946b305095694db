package share

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/broker/share/state"
)

// Manager holds the share partitions and share sessions of one broker.
type Manager struct {
	cfg     Config
	metrics *metrics
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc

	mu         sync.Mutex               // guards what follows; comes before a partition's mu
	partitions map[state.Key]*partition // of which a session has at least one
	sessions   map[sessionKey]*Session
	byPeer     map[any]map[*Session]bool // sessions of each connection

	running sync.Mutex // guards closed; the innermost lock
	closed  bool
	work    sync.WaitGroup // loads and writes; added to under running while not closed
}

// sessionKey is who a session belongs to: Kafka has one for each member on each broker.
type sessionKey struct{ group, member string }

// New makes a manager without sessions.
func New(cfg Config) *Manager {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &Manager{
		cfg: cfg, ctx: ctx, cancel: cancel,
		partitions: map[state.Key]*partition{}, sessions: map[sessionKey]*Session{}, byPeer: map[any]map[*Session]bool{},
	}
	m.metrics = newMetrics(cfg.Registerer, m)
	return m
}

// Close ends what is under way and waits for it. What members hold is not written: their locks end with this leader.
func (m *Manager) Close() {
	m.running.Lock()
	m.closed = true
	m.running.Unlock()
	m.cancel()
	m.work.Wait()
}

// start runs a load or a write, unless the manager is closed.
func (m *Manager) start(f func()) bool {
	m.running.Lock()
	defer m.running.Unlock()
	if m.closed {
		return false
	}
	m.work.Go(f)
	return true
}

// obtain returns the share partition of a partition that this broker leads, for a session that has it. One of an earlier
// leader epoch is replaced.
func (m *Manager) obtain(s *Session, k state.Key, r *replica.Partition) (*partition, *kerr.Error) {
	epoch := r.LeaderEpoch()
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.hasEnded() {
		return nil, kerr.ShareSessionNotFound
	}
	p := m.partitions[k]
	if p == nil || p.epoch != epoch || p.replica != r || p.isDropped() {
		if p != nil {
			p.drop(kerr.NotLeaderForPartition)
		}
		p = newPartition(m, s, k, r, epoch)
		if !m.start(p.load) {
			return nil, kerr.NotLeaderForPartition
		}
		m.partitions[k] = p
	}
	p.users[s] = true
	return p, nil
}

// find returns a share partition that is there.
func (m *Manager) find(k state.Key) *partition {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.partitions[k]
}

// leave takes a session off a share partition; without any it is given up once what it decided is written.
func (m *Manager) leave(s *Session, k state.Key) {
	m.mu.Lock()
	p := m.partitions[k]
	if p != nil {
		delete(p.users, s)
	}
	m.mu.Unlock()
	if p != nil {
		p.release(s.member)
		m.retire(p)
	}
}

// retire forgets a share partition that nobody uses and that has nothing left to write.
func (m *Manager) retire(p *partition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.partitions[p.key] == p && (p.isDropped() || len(p.users) == 0 && p.isIdle()) {
		delete(m.partitions, p.key)
		p.drop(kerr.NotLeaderForPartition)
	}
}
