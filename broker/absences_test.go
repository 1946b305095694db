package broker

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-io/millrace/metadata/image"
)

func TestBrokersWithoutAProcessAreKnownOnceAsked(t *testing.T) {
	listeners := func(host string) []image.Listener {
		return []image.Listener{{Name: internalListener, Host: host, Port: 1}}
	}
	img := brokersImage(image.Broker{ID: 1, Listeners: listeners("dead")}, image.Broker{ID: 2, Listeners: listeners("alive")})
	synctest.Test(t, func(t *testing.T) {
		back := make(chan struct{})
		var asked atomic.Int32
		a := newAbsences(func() *image.Image { return img }, func(_ context.Context, address string) bool {
			asked.Add(1)
			time.Sleep(10 * time.Millisecond)
			select {
			case <-back:
				return false
			default:
				return address == "dead:1"
			}
		}, time.Now)
		look := func() (gone []int32) {
			for id := range int32(4) {
				if a.Gone(id) {
					gone = append(gone, id)
				}
			}
			return gone
		}
		if gone := look(); len(gone) > 0 {
			t.Errorf("gone before anybody was asked: %v", gone)
		}
		time.Sleep(20 * time.Millisecond)
		if gone := look(); len(gone) != 1 || gone[0] != 1 || asked.Load() != 2 {
			t.Errorf("gone are %v after %d questions, want broker 1 after 2", gone, asked.Load())
		}
		close(back)
		time.Sleep(absenceValidity)
		if gone := look(); len(gone) > 0 {
			t.Errorf("gone are %v, as was found long ago", gone)
		}
		time.Sleep(20 * time.Millisecond)
		if gone := look(); len(gone) > 0 || asked.Load() != 4 {
			t.Errorf("gone are %v after %d questions, want nobody after 4", gone, asked.Load())
		}
		a.Close()
		if a.Gone(1) {
			t.Error("gone after the end")
		}
	})
}
