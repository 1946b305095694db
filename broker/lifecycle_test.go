package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// script is a controller that answers as a test wants and notes what it was asked.
type script struct {
	mu         sync.Mutex
	leader     int32
	changed    chan struct{}
	epoch      int64
	removed    bool // the image has no registration
	fenced     bool
	dead       bool                                     // answers nothing until the caller gives up
	heartbeat  func(*kmsg.BrokerHeartbeatRequest) int16 // error code of the next answers
	registered []int32                                  // by which leader
	beats      []time.Time
	last       kmsg.BrokerHeartbeatRequest
	mayStop    bool
	unsettled  bool   // the controller does not know what this broker has lost
	vouched    uint64 // 0: the controller vouches for nothing
	known      int64  // the metadata log is known up to here
	outdated   bool   // this broker does not hear of changes of the metadata
}

func (s *script) isAccounted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.unsettled
}

func (s *script) isOutdated() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.outdated
}

func (s *script) Controller() (int32, bool, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leader, s.leader >= 0, s.changed
}

func (s *script) elect(id int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leader, s.dead = id, false
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *script) ownEpoch() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.removed {
		return -1
	}
	return s.epoch
}

func (s *script) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *script) Send(ctx context.Context, nodeID int32, request kmsg.Request) (kmsg.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		s.mu.Unlock()
		<-ctx.Done()
		s.mu.Lock()
		return nil, ctx.Err()
	}
	if nodeID != s.leader {
		return nil, errors.New("not asked")
	}
	switch r := request.(type) {
	case *kmsg.BrokerRegistrationRequest:
		s.registered = append(s.registered, nodeID)
		s.epoch++
		answer := kmsg.NewPtrBrokerRegistrationResponse()
		answer.BrokerEpoch = s.epoch
		return answer, nil
	case *kmsg.BrokerHeartbeatRequest:
		s.beats, s.last = append(s.beats, time.Now()), *r
		answer := kmsg.NewPtrBrokerHeartbeatResponse()
		answer.IsFenced, answer.ShouldShutdown = s.fenced, r.WantShutdown && s.mayStop
		if s.vouched > 0 {
			answer.UnknownTags.Set(10000, binary.BigEndian.AppendUint64(nil, s.vouched))
		}
		if r.BrokerEpoch != s.epoch {
			answer.ErrorCode = kerr.StaleBrokerEpoch.Code
		} else if s.heartbeat != nil {
			answer.ErrorCode = s.heartbeat(r)
		}
		return answer, nil
	}
	return nil, errors.New("unexpected request")
}

func startLifecycle(s *script) *lifecycle {
	l := newLifecycle(lifecycleConfig{
		NodeID: 1, Register: kmsg.NewPtrBrokerRegistrationRequest, Offline: func() [][16]byte { return nil },
		Registered: func() {}, Accounted: s.isAccounted, Outdated: s.isOutdated, FencingChanged: func() {},
		MetadataOffset: s.offset, Await: func(context.Context, uint64) error { return nil },
		Controller: s.Controller, Send: s.Send, OwnEpoch: s.ownEpoch,
		Interval: func() time.Duration { return 500 * time.Millisecond }, Timeout: func() time.Duration { return 3 * time.Second },
		Logger: slog.New(slog.DiscardHandler),
	})
	go l.run()
	return l
}

func newScript() *script { return &script{leader: 2, changed: make(chan struct{}), known: 7} }

func (s *script) offset() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known
}

// A broker that has lost replicas wants to stay fenced until the controller knows of them, and says at once when it does. Once
// it serves, what it loses then does not fence it.
func TestBrokerStaysFencedUntilItsLossesAreKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		s.fenced, s.unsettled = true, true
		l := startLifecycle(s)
		synctest.Wait()
		time.Sleep(10 * time.Second)
		s.set(func() {
			if len(s.beats) < 20 || !s.last.WantFence {
				t.Errorf("after %d heartbeats it wants to stay fenced: %v", len(s.beats), s.last.WantFence)
			}
			s.unsettled, s.beats = false, nil
		})
		l.Poke()
		synctest.Wait()
		s.set(func() {
			if len(s.beats) != 1 || s.last.WantFence {
				t.Errorf("with everything told it sends %d heartbeats, and wants to stay fenced: %v", len(s.beats), s.last.WantFence)
			}
			s.fenced = false
		})
		if err := l.AwaitUnfenced(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.set(func() { s.unsettled = true })
		time.Sleep(time.Second)
		s.set(func() {
			if s.last.WantFence {
				t.Error("a broker that serves wants to be fenced because it has lost a replica")
			}
		})
		l.Stop(context.Background(), false)
	})
}

// A broker that serves and does not hear of the metadata any more wants to be fenced, until it does.
func TestBrokerThatIsOutdatedWantsToBeFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		l := startLifecycle(s)
		if err := l.AwaitUnfenced(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, outdated := range []bool{false, true, false} {
			s.set(func() { s.outdated = outdated })
			time.Sleep(time.Second)
			s.set(func() {
				if s.last.WantFence != outdated {
					t.Errorf("outdated %v: wants to be fenced %v", outdated, s.last.WantFence)
				}
			})
		}
		l.Stop(context.Background(), false)
		<-l.finished
	})
}

func TestBrokerRegistersAndKeepsItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		s.fenced = true
		l := startLifecycle(s)
		synctest.Wait()
		if l.Epoch() != 1 || !l.Fenced() {
			t.Errorf("epoch %d, fenced %v", l.Epoch(), l.Fenced())
		}
		s.set(func() { s.fenced = false })
		if err := l.AwaitUnfenced(t.Context()); err != nil || l.Fenced() {
			t.Errorf("not unfenced: %v", err)
		}
		s.set(func() { s.beats = nil })
		time.Sleep(5 * time.Second)
		synctest.Wait()
		s.set(func() {
			if len(s.beats) != 10 || s.last.BrokerEpoch != 1 || s.last.CurrentMetadataOffset != 7 {
				t.Errorf("%d heartbeats in 5 s, the last is %+v", len(s.beats), s.last)
			}
		})
		l.Stop(context.Background(), false)
		<-l.finished
	})
}

// A session is held for as long as it was vouched for, and only by who knows the metadata that were there then: one that had
// ended without this broker knowing of it has another leader behind it.
func TestSessionIsHeldByWhoKnowsWhatWasDecidedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		s.vouched = 7
		l := startLifecycle(s)
		defer func() {
			l.Stop(context.Background(), false)
			<-l.finished
		}()
		step := func(when string, wait time.Duration, want bool, change func()) {
			t.Helper()
			s.set(change)
			time.Sleep(wait)
			synctest.Wait()
			if got := l.Held(); got != want {
				t.Errorf("%s: held is %v", when, got)
			}
		}
		step("from the first heartbeat", time.Second, true, func() {})
		step("while an earlier one says so", time.Second, true, func() { s.vouched = 9 })
		step("still", time.Second, true, func() { s.vouched = 10 })
		step("after the earlier one has run out", 4*time.Second, false, func() {})
		step("with the metadata there", time.Second, true, func() { s.known = 10 })
		step("when nobody vouches, for the rest of it", time.Second, true, func() { s.vouched = 0 })
		step("when nobody vouches", 4*time.Second, false, func() {})
		step("when somebody does again", time.Second, true, func() { s.vouched = 10 })
		step("fenced", time.Second, false, func() { s.fenced = true })
		step("unfenced at once, without the metadata", time.Second, false, func() { s.fenced, s.vouched = false, 12 })
		step("unfenced", time.Second, true, func() { s.known = 12 })
	})
}

func TestNewControllerHearsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		l := startLifecycle(s)
		synctest.Wait()
		s.set(func() { s.dead = true })
		time.Sleep(600 * time.Millisecond) // the next heartbeat is under way, and nobody answers
		s.set(func() { s.beats = nil })
		s.elect(3)
		moment := time.Now()
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		s.set(func() {
			if len(s.beats) == 0 || s.beats[0].Sub(moment) > 10*time.Millisecond {
				t.Errorf("the new controller heard at %v, it leads since %v", s.beats, moment)
			}
			if len(s.registered) != 1 {
				t.Errorf("registered at %v: a new controller knows the registration from the log", s.registered)
			}
		})
		if l.Fenced() {
			t.Error("a lost controller must not fence the broker")
		}
		l.Stop(context.Background(), false)
		<-l.finished
	})
}

func TestStaleEpochRegistersAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		l := startLifecycle(s)
		synctest.Wait()
		s.set(func() { s.epoch = 40 }) // as if another registration had been written
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if l.Epoch() != 41 {
			t.Errorf("epoch %d, want that of a second registration", l.Epoch())
		}
		l.Stop(context.Background(), false)
		<-l.finished
	})
}

// A heartbeat that comes late must not bring back a broker that was removed from the cluster; a start of it does.
func TestRemovedBrokerStaysRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		l := startLifecycle(s)
		synctest.Wait()
		s.set(func() { s.epoch, s.removed = 40, true })
		time.Sleep(time.Minute)
		synctest.Wait()
		if l.Epoch() != 1 || len(s.registered) != 1 || !l.Fenced() {
			t.Errorf("epoch %d, %d registrations, fenced %v: it came back", l.Epoch(), len(s.registered), l.Fenced())
		}
		if granted := l.Stop(t.Context(), true); granted {
			t.Error("nobody is there to let it stop")
		}
	})
}

// A refusal that this node's image does not explain yet is no reason to register anew.
func TestStaleEpochWaitsForTheImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		s.heartbeat = func(*kmsg.BrokerHeartbeatRequest) int16 { return kerr.StaleBrokerEpoch.Code }
		l := startLifecycle(s)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(s.registered) != 1 {
			t.Errorf("%d registrations", len(s.registered))
		}
		l.Stop(context.Background(), false)
		<-l.finished
	})
}

func TestStopWaitsForTheController(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		l := startLifecycle(s)
		synctest.Wait()
		time.AfterFunc(300*time.Millisecond, func() { s.set(func() { s.mayStop = true }) })
		began := time.Now()
		if !l.Stop(t.Context(), true) {
			t.Error("the stop was not granted")
		}
		if took := time.Since(began); took < 300*time.Millisecond || took > 350*time.Millisecond {
			t.Errorf("granted after %v, the controller was ready after 300ms", took)
		}
	})
}

func TestStopDoesNotWaitForAControllerThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		l := startLifecycle(s)
		synctest.Wait()
		s.elect(-1)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if l.Stop(ctx, true) {
			t.Error("nobody granted the stop")
		}
		if took := time.Since(began); took > 2*shutdownPatience {
			t.Errorf("waited %v for nobody", took)
		}
	})
}
