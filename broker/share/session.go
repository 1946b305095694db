package share

import (
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/share/state"
)

// TopicPartition names a partition as share requests do.
type TopicPartition struct {
	TopicID   [16]byte
	Partition int32
}

// Owner is who a session belongs to.
type Owner struct {
	Tenant, Group, Member string
	// Peer is the connection: its sessions end with it.
	Peer any
}

// Session is a member's share session on this broker: what it fetches without naming it again. Requests of one session
// come one after the other, over its connection.
type Session struct {
	tenant, group, member string
	key                   sessionKey
	peer                  any

	mu         sync.Mutex // guards what follows; after the manager's mu. A member may come back over another connection
	epoch      int32
	partitions []sessionPartition
	ended      bool
}

// sessionPartition is a partition of a session.
type sessionPartition struct {
	TopicPartition
	unanswered bool // the next answer names it whatever there is to tell
}

// Final and Initial are the session epochs that mean something else than their number.
const (
	Final   = -1
	Initial = 0
)

// Open begins a session; one that the member had ends.
func (m *Manager) Open(who Owner) (*Session, *kerr.Error) {
	s := &Session{tenant: who.Tenant, group: who.Group, member: who.Member, peer: who.Peer}
	s.key = sessionKey{state.GroupName(who.Tenant, who.Group), who.Member}
	m.mu.Lock()
	before := m.sessions[s.key]
	if before != nil {
		m.forgetLocked(before)
	}
	full := len(m.sessions) >= m.cfg.MaxSessions()
	if !full {
		m.sessions[s.key] = s
		if m.byPeer[s.peer] == nil {
			m.byPeer[s.peer] = map[*Session]bool{}
		}
		m.byPeer[s.peer][s] = true
	}
	m.mu.Unlock()
	if before != nil {
		m.end(before)
	}
	if full {
		return nil, kerr.ShareSessionLimitReached
	}
	return s, nil
}

// Session finds a member's session and moves its epoch on; with Final it only finds it.
func (m *Manager) Session(who Owner, epoch int32) (*Session, *kerr.Error) {
	m.mu.Lock()
	s := m.sessions[sessionKey{state.GroupName(who.Tenant, who.Group), who.Member}]
	m.mu.Unlock()
	if s == nil {
		return nil, kerr.ShareSessionNotFound
	}
	if epoch == Final {
		return s, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil, kerr.ShareSessionNotFound
	}
	if epoch != s.epoch+1 {
		return nil, kerr.InvalidShareSessionEpoch
	}
	if s.epoch++; s.epoch == 1<<31-1 {
		s.epoch = 0
	}
	return s, nil
}

// Update adds and removes partitions.
func (m *Manager) Update(s *Session, add, forget []TopicPartition) *kerr.Error {
	s.mu.Lock()
	var left []TopicPartition
	for _, tp := range forget {
		if i := s.index(tp); i >= 0 {
			s.partitions = slices.Delete(s.partitions, i, i+1)
			left = append(left, tp)
		}
	}
	var fault *kerr.Error
	for _, tp := range add {
		if s.index(tp) >= 0 {
			continue
		}
		if len(s.partitions) >= maxSessionPartitions {
			fault = kerr.InvalidRequest
			break
		}
		s.partitions = append(s.partitions, sessionPartition{tp, true})
	}
	s.mu.Unlock()
	for _, tp := range left {
		m.leave(s, s.keyOf(tp))
	}
	return fault
}

func (s *Session) hasEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

func (s *Session) index(tp TopicPartition) int {
	return slices.IndexFunc(s.partitions, func(p sessionPartition) bool { return p.TopicPartition == tp })
}

func (s *Session) keyOf(tp TopicPartition) state.Key {
	return state.Key{Group: s.key.group, Topic: tp.TopicID, Partition: tp.Partition}
}

// End ends a session: what its member holds here is given back.
func (m *Manager) End(s *Session) {
	m.mu.Lock()
	m.forgetLocked(s)
	m.mu.Unlock()
	m.end(s)
}

// Disconnected ends the sessions of a connection.
func (m *Manager) Disconnected(peer any) {
	m.mu.Lock()
	var ended []*Session
	for s := range m.byPeer[peer] {
		ended = append(ended, s)
	}
	for _, s := range ended {
		m.forgetLocked(s)
	}
	m.mu.Unlock()
	for _, s := range ended {
		m.end(s)
	}
}

func (m *Manager) forgetLocked(s *Session) {
	if m.sessions[s.key] == s {
		delete(m.sessions, s.key)
	}
	delete(m.byPeer[s.peer], s)
	if len(m.byPeer[s.peer]) == 0 {
		delete(m.byPeer, s.peer)
	}
}

func (m *Manager) end(s *Session) {
	s.mu.Lock()
	partitions := s.partitions
	s.partitions, s.ended = nil, true
	s.mu.Unlock()
	for _, p := range partitions {
		m.leave(s, s.keyOf(p.TopicPartition))
	}
}
