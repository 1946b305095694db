package metadata

import (
	"sync"
	"time"

	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
)

// sessions is what the controller knows of brokers beside the metadata log: when each was last heard from and how far its
// image is. It is in memory only; a new controller begins with a whole session for everybody (BrokerHeartbeatManager).
//
// Time is the monotonic time of this process, so that no jump of a wall clock ends a session.
type sessions struct {
	began time.Time

	mu      sync.Mutex // guards the rest
	brokers map[int32]*session
}

// session is one incarnation of a broker.
type session struct {
	epoch          int64
	lastContact    time.Duration
	waiting        int   // so many heartbeats wait for the metadata log
	heard          bool  // a heartbeat came, and not just the controller's own beginning
	metadataOffset int64 // index of its image; -1: not known
	shutdownOffset int64 // index at which its leaderships had moved; -1: it is not stopping
}

func newSessions() *sessions { return &sessions{began: time.Now(), brokers: map[int32]*session{}} }

func (s *sessions) now() time.Duration { return time.Since(s.began) }

// begin gives every broker a whole session.
func (s *sessions) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.brokers)
}

// of returns the session of a registration, a whole one if there is none. The caller holds mu.
func (s *sessions) of(b *image.Broker) *session {
	own := s.brokers[b.ID]
	if own == nil || own.epoch != b.Epoch {
		own = &session{epoch: b.Epoch, lastContact: s.now(), metadataOffset: -1, shutdownOffset: -1}
		s.brokers[b.ID] = own
	}
	return own
}

// touch notes a heartbeat.
func (s *sessions) touch(b *image.Broker, h controller.Heartbeat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.of(b)
	own.lastContact, own.heard, own.metadataOffset = s.now(), true, h.MetadataOffset
}

// alive reports whether the incarnation that is registered was heard from within its session.
func (s *sessions) alive(b *image.Broker, timeout time.Duration) bool {
	if b == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of(b).heard && s.leftLocked(b, timeout) >= 0
}

// expired returns a broker whose session is over, -1 if there is none, and then how long until the next one may be; 0 for
// never. One at a time: what becomes of the partitions of the first matters to the second.
func (s *sessions) expired(img *image.Image, timeout time.Duration) (id int32, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for b := range img.Brokers() {
		if b.Fenced {
			continue
		}
		left := s.leftLocked(b, timeout)
		if left < 0 {
			return b.ID, 0
		}
		if left++; wait == 0 || left < wait { // the moment after, when it is over
			wait = left
		}
	}
	return -1, wait
}

// left is for how long a session still lasts; below 0 it is over.
func (s *sessions) left(b *image.Broker, timeout time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leftLocked(b, timeout)
}

func (s *sessions) leftLocked(b *image.Broker, timeout time.Duration) time.Duration {
	own := s.of(b)
	if own.waiting > 0 {
		return timeout
	}
	return own.lastContact + timeout - s.now()
}

// wait keeps a session while a heartbeat waits for the metadata log, and counts it from the end of that on, which has to be told:
// a log that is slow is not the broker's fault.
func (s *sessions) wait(b *image.Broker) (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.of(b)
	own.waiting++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		own.waiting--
		own.lastContact = s.now()
	}
}

// stopping notes at which index the leaderships of a broker had moved, once.
func (s *sessions) stopping(b *image.Broker, index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if own := s.of(b); own.shutdownOffset < 0 {
		own.shutdownOffset = int64(index)
	}
}

// informed reports whether the image of every active broker holds what a stopping broker waits for.
func (s *sessions) informed(img *image.Image, stopping *image.Broker) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.of(stopping)
	if own.shutdownOffset < 0 {
		own.shutdownOffset = int64(img.Index()) // another controller moved them
	}
	for b := range img.Brokers() {
		if b.Active() && s.of(b).metadataOffset < own.shutdownOffset {
			return false
		}
	}
	return true
}
