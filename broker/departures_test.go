package broker

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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
		img.Store(brokersImage(image.Broker{ID: 2, Listeners: listeners}))
		d := newDepartures(departuresConfig{
			NodeID: 1, IsController: func() bool { return false }, Image: img.Load,
			Refused: func(context.Context, string) bool { return true },
			Gone:    func(int32, [16]byte) { t.Error("who is not the controller told it") },
			Logger:  slog.New(slog.DiscardHandler),
		})
		waited := func() time.Duration {
			began := time.Now()
			d.Await(t.Context())
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
		img.Store(brokersImage(image.Broker{ID: 2, Listeners: listeners}))
		d.Suspect(2)
		if w := waited(); w != departureHold {
			t.Errorf("waited %v without a controller, want %v", w, departureHold)
		}
		d.Close()
	})
}
