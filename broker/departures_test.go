package broker

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-io/millrace/broker/peer"
	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/image"
)

func brokersImage(brokers ...image.Broker) *image.Image {
	var group command.Group
	for _, b := range brokers {
		group = append(group, command.RegisterBroker{Broker: &b})
	}
	img, _ := command.Apply(image.Empty(), 1, []command.Group{group}, image.NewChanges())
	return img
}

func TestDepartedBrokersAreReported(t *testing.T) {
	listeners := func(host string) []image.Listener {
		return []image.Listener{{Name: internalListener, Host: host, Port: 1}}
	}
	img := brokersImage(
		image.Broker{ID: 1, Listeners: listeners("self")},
		image.Broker{ID: 2, Incarnation: [16]byte{2}, Listeners: listeners("dead")},
		image.Broker{ID: 3, Listeners: listeners("alive")},
		image.Broker{ID: 4, Fenced: true, Listeners: listeners("dead")},
	)
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		gone := map[int32]time.Time{}
		var controller atomic.Bool
		began := time.Now()
		d := newDepartures(departuresConfig{
			NodeID: 1, IsController: controller.Load, Image: func() *image.Image { return img },
			// the process has ended, but for a moment its socket still takes connections
			Refused: func(_ context.Context, address string) bool {
				return address == "dead:1" && time.Since(began) > 10*time.Millisecond
			},
			Gone: func(id int32, incarnation [16]byte) {
				mu.Lock()
				defer mu.Unlock()
				if incarnation != img.Broker(id).Incarnation {
					t.Errorf("broker %d: incarnation %v", id, incarnation)
				}
				gone[id] = time.Now()
			},
			Logger: slog.New(slog.DiscardHandler),
		})
		d.Suspect(2)
		synctest.Wait()
		if len(gone) != 0 {
			t.Errorf("who is not the controller reported %v", gone)
		}
		controller.Store(true)
		d.SuspectAll()
		time.Sleep(time.Second)
		synctest.Wait()
		mu.Lock()
		at, reported := gone[2]
		if len(gone) != 1 || !reported || at.Sub(began) > 100*time.Millisecond {
			t.Errorf("reported %v, want broker 2 within 100ms", gone)
		}
		mu.Unlock()
		d.Close()
	})
}

// Who asks which broker leads waits while a departure is being decided: until the image holds the decision, and not for ever.
func TestQuestionsWaitForADepartureToBeDecided(t *testing.T) {
	listeners := []image.Listener{{Name: internalListener, Host: "dead", Port: 1}}
	synctest.Test(t, func(t *testing.T) {
		var img atomic.Pointer[image.Image]
		img.Store(brokersImage(image.Broker{ID: 2, Listeners: listeners}, image.Broker{ID: 3, Listeners: listeners}))
		d := newDepartures(departuresConfig{
			NodeID: 1, IsController: func() bool { return false }, Image: img.Load,
			Refused: func(context.Context, string) bool { return true },
			Gone:    func(int32, [16]byte) { t.Error("who is not the controller told it") },
			Logger:  slog.New(slog.DiscardHandler),
		})
		waited := func() time.Duration {
			began := time.Now()
			d.Confirm(t.Context(), []int32{2})
			return time.Since(began)
		}
		if w := waited(); w != 0 {
			t.Errorf("waited %v with nobody gone", w)
		}
		d.Suspect(2)
		time.AfterFunc(100*time.Millisecond, func() { img.Store(brokersImage(image.Broker{ID: 2, Fenced: true, Listeners: listeners})) })
		if w := waited(); w < 100*time.Millisecond || w > 110*time.Millisecond {
			t.Errorf("waited %v, want until the broker is fenced after 100ms", w)
		}
		img.Store(brokersImage(image.Broker{ID: 2, Listeners: listeners}, image.Broker{ID: 3, Listeners: listeners}))
		d.Suspect(2)
		began := time.Now()
		if confirmed := d.Confirm(t.Context(), []int32{3}); !confirmed || time.Since(began) != 0 {
			t.Errorf("an answer that names another broker: %v after %v", confirmed, time.Since(began))
		}
		if w := waited(); w != departureHold {
			t.Errorf("waited %v without a controller, want %v", w, departureHold)
		}
		d.Close()
	})
}

// linePair is a lifeline of this process to itself.
func linePair(t *testing.T) (held, watched net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if held, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = held.Close() })
	if watched, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = watched.Close() })
	return held, watched
}

// endedDepartures are those of broker 1, where broker 2 has ended and is fenced once that is found out.
func endedDepartures(t *testing.T) *departures {
	var img atomic.Pointer[image.Image]
	img.Store(brokersImage(brokerAt(1), brokerAt(2), brokerAt(3)))
	d := newDepartures(departuresConfig{
		NodeID: 1, IsController: func() bool { return true }, Image: img.Load,
		Refused: func(_ context.Context, address string) bool { return address == "host:2" },
		Gone: func(id int32, _ [16]byte) {
			gone := brokerAt(id)
			gone.Fenced = true
			img.Store(brokersImage(brokerAt(1), gone, brokerAt(3)))
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(d.Close)
	return d
}

// A client that has seen the end of its leader asks who leads before any goroutine here has heard of that end. The kernel has.
func TestLeaderWhoseLifelineHasEndedIsNotToldOf(t *testing.T) {
	d := endedDepartures(t)
	held, watched := linePair(t)
	d.lines[2] = watched // as Watch does, whose goroutine has not run yet
	if !d.Confirm(t.Context(), []int32{1, 2, 3}) {
		t.Error("a broker whose lifeline holds is not told of")
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); !peer.Lost(watched); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the end of the lifeline does not arrive")
		}
	}
	if !d.Confirm(t.Context(), []int32{1, 3}) {
		t.Error("another broker is not told of")
	}
	if d.Confirm(t.Context(), []int32{1, 2}) || !d.cfg.Image().Broker(2).Fenced {
		t.Error("the broker is told of before it is fenced")
	}
	for end := time.Now().Add(time.Minute); !d.Confirm(t.Context(), []int32{1, 3}); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("answers wait for a departure that has been decided")
		}
	}
	if d.Confirm(t.Context(), []int32{1, 2}) {
		t.Error("an answer of before is given that names a broker which is fenced")
	}
}

// A broker whose lifeline ends is suspected without anybody asking.
func TestEndOfALifelineIsADeparture(t *testing.T) {
	d := endedDepartures(t)
	_, older := linePair(t)
	d.Watch(3, older)
	held, watched := linePair(t)
	d.Watch(2, watched)
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); !d.cfg.Image().Broker(2).Fenced; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the broker is not reported")
		}
	}
	_, late := linePair(t)
	d.Close()
	d.Watch(2, late)
	for _, line := range []net.Conn{older, watched, late} {
		if _, err := line.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a lifeline outlives Close: %v", err)
		}
	}
}
