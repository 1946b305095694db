package replica

import (
	"context"
	"testing"
	"testing/synctest"
)

// Who registers with one partition after the other is woken when the first is reached before the second is registered, and waits
// on.
func TestWaitLastsUntilTheLastOffsetIsReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWaiter()
		w.hold()
		w.reached()
		w.hold()
		w.hold()
		over := false
		go func() {
			w.Wait(t.Context())
			over = true
		}()
		synctest.Wait()
		w.reached()
		synctest.Wait()
		if over {
			t.Error("over with an offset outstanding")
		}
		w.reached()
		synctest.Wait()
		if !over {
			t.Error("not over with nothing outstanding")
		}
		w.hold()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if w.Wait(ctx); !w.Outstanding() {
			t.Error("what was given up counts as reached")
		}
	})
}
