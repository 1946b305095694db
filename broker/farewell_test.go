package broker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestFarewellLastsWhileClientsAsk(t *testing.T) {
	for _, c := range []struct {
		name      string
		asksUntil time.Duration // clients ask all the time until then
		cancelled time.Duration // 0: never
		lasts     time.Duration
	}{
		{"nobody asks", 0, 0, farewellQuiet},
		{"asked for a while", 200 * time.Millisecond, 0, 200*time.Millisecond + farewellQuiet},
		{"asked without end", time.Hour, 0, farewellLongest},
		{"no time left", time.Hour, 30 * time.Millisecond, 30 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.cancelled > 0 {
				time.AfterFunc(c.cancelled, cancel)
			}
			began := time.Now()
			before := began.Add(-time.Minute)
			farewell(ctx, time.Now, func() time.Time {
				if since := time.Since(began); c.asksUntil > 0 {
					return began.Add(min(since, c.asksUntil))
				}
				return before
			})
			if got := time.Since(began); got != c.lasts {
				t.Errorf("%s: lasted %v, want %v", c.name, got, c.lasts)
			}
		})
	}
}
