package replica

import (
	"context"
	"sync/atomic"
)

// Waiter lets one goroutine wait for events on many partitions. It is reused: Reset, register with partitions, wait on C,
// take back what is still registered. One goroutine owns it; partitions only signal it.
type Waiter struct {
	// C receives one value when what was waited for has happened, or can no longer happen.
	C chan struct{}
	// Notify, if set, is called after the signal: by the appender itself if here, which then has time for the waiter's
	// business; no lock is held. Fixed before the first registration.
	Notify func(here bool)

	offsets atomic.Int32 // partitions whose offset is awaited, plus one while registering
	bytes   atomic.Int64 // bytes still lacking
}

// NewWaiter returns a waiter for its owner to keep.
func NewWaiter() *Waiter { return &Waiter{C: make(chan struct{}, 1)} }

// Reset makes the waiter ready to register anew. minBytes is what AwaitBytes waits for.
func (w *Waiter) Reset(minBytes int64) {
	w.offsets.Store(0)
	w.bytes.Store(minBytes)
	select {
	case <-w.C:
	default:
	}
}

// hold counts one more offset to wait for.
func (w *Waiter) hold() { w.offsets.Add(1) }

// reached counts one offset off; the last one wakes the owner.
func (w *Waiter) reached() {
	if w.offsets.Add(-1) == 0 {
		w.wake()
	}
}

// Outstanding reports whether an offset is still awaited. C alone does not tell: what is registered first may be reached before
// the next is registered, and wakes the owner then, too.
func (w *Waiter) Outstanding() bool { return w.offsets.Load() > 0 }

// Wait returns when no offset is awaited any more, or ctx ends.
func (w *Waiter) Wait(ctx context.Context) {
	for w.Outstanding() {
		select {
		case <-w.C:
		case <-ctx.Done():
			return
		}
	}
}

// arrived counts bytes off what lacks; the owner wakes when nothing lacks any more. It reports whether it has to be
// notified, too.
func (w *Waiter) arrived(bytes int64) bool {
	if left := w.bytes.Add(-bytes); left > 0 {
		return false
	}
	w.wake()
	return w.Notify != nil
}

// servedHere is how many waiters an append serves itself; more would keep its own client waiting.
const servedHere = 4

// notify tells waiters that were signalled.
func notify(signalled []*Waiter, here bool) {
	for i, w := range signalled {
		w.Notify(here && i < servedHere)
	}
}

func (w *Waiter) wake() {
	select {
	case w.C <- struct{}{}:
	default:
	}
}

// Watch is a waiter's place in the watch list of one partition. Its memory belongs to the waiter's owner and must stay
// where it is while registered.
type Watch struct {
	waiter     *Waiter
	prev, next *Watch // guarded by the partition's mu
}

// watchList is a list of watches that costs a constant to join and to leave.
type watchList struct{ head *Watch }

func (l *watchList) add(w *Watch) {
	w.next = l.head
	if l.head != nil {
		l.head.prev = w
	}
	l.head = w
}

func (l *watchList) remove(w *Watch) {
	switch {
	case w.prev != nil:
		w.prev.next = w.next
	case l.head == w:
		l.head = w.next
	default:
		return // not registered
	}
	if w.next != nil {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
}
