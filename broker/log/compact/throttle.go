package compact

import (
	"context"
	"math"
	"sync"
	"time"
)

// throttle bounds the bytes that all threads read and write: what was taken too much is paid for by waiting.
type throttle struct {
	mu     sync.Mutex
	rate   float64   // guarded by mu: bytes a second; MaxFloat64: unbounded
	paidAt time.Time // guarded by mu: when all that was taken is paid for
}

func (t *throttle) setRate(bytesPerSecond float64) {
	t.mu.Lock()
	t.rate, t.paidAt = bytesPerSecond, time.Time{}
	t.mu.Unlock()
}

// take counts bytes and returns how long to wait for them.
func (t *throttle) take(bytes int, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rate == math.MaxFloat64 {
		return 0
	}
	if t.paidAt.Before(now) {
		t.paidAt = now
	}
	const longest = float64(time.Hour) // a tiny rate must not overflow, and may be raised while somebody waits
	t.paidAt = t.paidAt.Add(time.Duration(min(float64(bytes)/max(t.rate, 1)*float64(time.Second), longest)))
	return t.paidAt.Sub(now)
}

// wait takes bytes and waits for them, or for the end of ctx.
func (t *throttle) wait(ctx context.Context, bytes int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d := t.take(bytes, time.Now()); d > 0 {
		return pause(ctx, d)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
