package broker

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-io/millrace/metadata/image"
)

func TestBrokersWithoutAProcessAreKnownWhileTheSessionIsNotHeld(t *testing.T) {
	listeners := func(host string) []image.Listener {
		return []image.Listener{{Name: internalListener, Host: host, Port: 1}}
	}
	img := brokersImage(image.Broker{ID: 1, Listeners: listeners("self")}, image.Broker{ID: 2, Listeners: listeners("dead")},
		image.Broker{ID: 3, Listeners: listeners("alive")})
	synctest.Test(t, func(t *testing.T) {
		var held, back atomic.Bool
		held.Store(true)
		a := &absences{nodeID: 1, image: func() *image.Image { return img }, held: held.Load, clock: time.Now,
			refused: func(_ context.Context, address string) bool {
				time.Sleep(10 * time.Millisecond)
				return address == "self:1" || address == "dead:1" && !back.Load()
			}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			a.run(ctx)
		}()
		look := func(when string, want ...int32) {
			time.Sleep(2 * absenceRenewal)
			var gone []int32
			for id := range int32(5) {
				if a.Gone(id) {
					gone = append(gone, id)
				}
			}
			if !slices.Equal(gone, want) {
				t.Errorf("%s: gone are %v, want %v", when, gone, want)
			}
		}
		look("while the session is held")
		held.Store(false)
		look("without a session", 2)
		held.Store(true)
		time.Sleep(absenceValidity)
		look("long after")
		held.Store(false)
		look("without a session again", 2)
		back.Store(true)
		look("with the broker back")
		back.Store(false)
		a.note(2, true, time.Now().Add(-absenceValidity)) // as after a pause of this process
		if a.Gone(2) {
			t.Error("a refusal of long ago says that a broker is gone")
		}
		cancel()
		<-done
	})
}
