package sim

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"testing/synctest"
	"time"
)

// bubble lets real code with goroutines and timers of its own take part in a world without becoming a source of chance. The
// code runs in a bubble of testing/synctest, whose clock the world moves from event to event. What the code wants of the world
// (the network, a log, an answer to a client) is a message, and the world's goroutine handles messages one by one, in an order
// that does not depend on who was scheduled first; it calls the code likewise, and goes on when everything is still again.
//
// Everything but post belongs to the world's goroutine.
type bubble struct {
	w     *World
	start time.Time
	timer *time.Timer
	todo  []task
	over  context.Context // ends with the world
	end   context.CancelFunc

	news  chan struct{} // capacity 1
	mu    sync.Mutex
	inbox []message // guarded by mu
}

// task is what the world does next without time passing: calls says that it calls real code.
type task struct {
	fn    func()
	calls bool
}

// message is what real code wants of the world. Messages of one moment are handled in the order of their names, and names of the
// same moment differ unless it does not matter which comes first.
type message struct {
	name string
	fn   func()
}

func newBubble(w *World) *bubble {
	b := &bubble{w: w, start: time.Now(), timer: time.NewTimer(time.Hour), news: make(chan struct{}, 1)}
	b.over, b.end = context.WithCancel(context.Background())
	return b
}

// post hands a message to the world. It may be called from any goroutine.
func (b *bubble) post(name string, fn func()) {
	b.mu.Lock()
	b.inbox = append(b.inbox, message{name, fn})
	b.mu.Unlock()
	select {
	case b.news <- struct{}{}:
	default:
	}
}

// call has real code called once the event under way is through.
func (b *bubble) call(fn func()) { b.todo = append(b.todo, task{fn, true}) }

// reach lets time pass until a moment. It is false when messages came before: the queue may begin with another event then.
func (b *bubble) reach(at time.Duration) bool {
	if wait := at - time.Since(b.start); wait > 0 {
		b.timer.Reset(wait)
		select {
		case <-b.timer.C:
		case <-b.news:
			b.timer.Stop()
		}
		synctest.Wait()
	}
	if b.take() {
		b.w.now = time.Since(b.start)
		b.settle()
		return false
	}
	return true
}

// take moves the messages of a moment to what is to be done.
func (b *bubble) take() bool {
	b.mu.Lock()
	inbox := b.inbox
	b.inbox = nil
	b.mu.Unlock()
	select {
	case <-b.news:
	default:
	}
	slices.SortStableFunc(inbox, func(x, y message) int { return cmp.Compare(x.name, y.name) })
	for _, m := range inbox {
		b.todo = append(b.todo, task{fn: m.fn})
	}
	return len(inbox) > 0
}

// settle does what is to be done until nothing is, and everything is still.
func (b *bubble) settle() {
	for len(b.todo) > 0 {
		next := b.todo[0]
		b.todo = b.todo[1:]
		next.fn()
		if next.calls {
			synctest.Wait()
			b.take()
		}
	}
	b.todo = nil
}

// ask has fn done by the world and waits for it; false: the world, or ctx, has ended, and fn may not be done. fn says that it is
// through by calling done, at any later event. It may be called from any goroutine but the world's.
func (b *bubble) ask(ctx context.Context, name string, fn func(done func())) bool {
	through := make(chan struct{})
	b.post(name, func() {
		if ctx.Err() == nil {
			fn(func() { b.call(func() { close(through) }) })
		}
	})
	select {
	case <-through:
		return true
	case <-ctx.Done():
		return false
	}
}
