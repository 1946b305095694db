package server

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

// suspension is an answer that waits for what other clients do while the connection's goroutine waits for bytes, as it
// does without one. Whoever brings the news gives the answer itself where that is quick, and nobody need be woken for it.
//
//	running --Suspend--> offered --notify--> answered, or still waiting
//	   ^                    |
//	   +----- takeBack -----+  bytes came, the connection ends, or notify asked for the goroutine
//
// Who owns a connection while the answer is offered: the holder of mu. It is held while the answer is built and given to a
// socket that is not waited for.
type suspension struct {
	pending bool          // the session has an answer to give; owned by the connection's owner
	left    time.Duration // until it must be given; owned by the connection's owner
	expiry  *time.Timer   // nil until first used; owned by the connection's goroutine

	mu      sync.Mutex
	offered bool  // guarded by mu; the goroutine, which alone sets it, may look without
	kicked  bool  // guarded by mu: the goroutine was woken by a read deadline
	failure error // guarded by mu: why the connection must end
}

// Suspend is to be called by a handler that has parked and registered for news, and lets it return without an answer: the
// session's Resume goes on when there is news or so long has passed. It reports whether that is possible now; else the
// handler has to wait itself.
func (w *Writer) Suspend(atMost time.Duration) bool {
	c := w.conn
	if c == nil {
		return false
	}
	if !c.later.offered && (c.in.raw == nil || c.in.buf != nil || c.server.closing.Load()) {
		return false // with requests behind this one there are bytes to keep, and nothing to wait for
	}
	c.later.pending, c.later.left = true, atMost
	return true
}

// Notifier returns what is to be called when there is news for a suspended answer. The caller holds no lock that a handler
// takes; here says that it has the time to give the answer itself.
func (w *Writer) Notifier() func(here bool) {
	if w.conn == nil {
		return nil
	}
	return w.conn.notify
}

// await waits for bytes, and sees to it that a suspended answer is given before they are looked at.
func (c *connection) await() error {
	for c.later.pending {
		if c.offer() {
			if err := c.takeBack(c.in.fill(c.peer.Context)); err != nil {
				return c.leave(err)
			}
		}
		if err := c.goOn(); err != nil {
			return err
		}
		if _, here := c.in.partial(); here {
			return nil
		}
	}
	return c.in.fill(c.peer.Context)
}

// offer lets others give the answer, unless there is news already.
func (c *connection) offer() bool {
	l := &c.later
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.session.Signalled() {
		return false
	}
	l.offered = true
	if l.expiry == nil {
		l.expiry = time.AfterFunc(l.left, func() { c.notify(true) })
	} else {
		l.expiry.Reset(l.left)
	}
	return true
}

// takeBack ends the offer. err is of the read that ended the wait.
func (c *connection) takeBack(err error) error {
	l := &c.later
	l.mu.Lock()
	kicked, failure := l.kicked, l.failure
	l.offered, l.kicked = false, false
	l.mu.Unlock()
	l.expiry.Stop()
	if kicked {
		_ = c.net.SetReadDeadline(time.Time{})
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = nil
		}
	}
	if failure != nil {
		return failure
	}
	if _, here := c.in.partial(); err == nil && !here && c.server.closing.Load() {
		return errClosing // its read deadline may be the one that was taken away
	}
	return err
}

// goOn gives the answer, or suspends it again, on the connection's goroutine.
func (c *connection) goOn() error {
	if c.later.pending {
		c.later.pending = false
		if err := c.session.Resume(&c.out); err != nil {
			return err
		}
	}
	if err := c.flush(); err != nil {
		return err
	}
	c.out.rest()
	return nil
}

// leave gives the answer that there is at a clean stop.
func (c *connection) leave(err error) error {
	if c.server.closing.Load() {
		_ = c.goOn()
	}
	return err
}

// notify says that there may be news for the suspended answer. Anybody may call it.
func (c *connection) notify(here bool) {
	l := &c.later
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.offered || here && c.answer() {
		return
	}
	l.offered, l.kicked = false, true
	_ = c.net.SetReadDeadline(time.Unix(1, 0))
}

// answer gives the answer if there is enough to give, on the goroutine of whoever brought the news. It reports whether
// there is nothing left for the connection's own.
func (c *connection) answer() (done bool) {
	defer func() {
		if r := recover(); r != nil {
			c.later.failure, done = c.failed(r), false
		}
	}()
	c.later.pending = false
	if err := c.session.Resume(&c.out); err != nil {
		c.later.failure = err
		return false
	}
	if c.later.pending {
		return true // not enough yet
	}
	if !c.out.flushNow() {
		return false
	}
	c.later.offered = false
	c.out.rest()
	c.lastActive.Store(c.server.cfg.Clock().UnixNano())
	return true
}

// failed reports a panic of a handler.
func (c *connection) failed(r any) error {
	c.server.metrics.panics.Inc()
	c.server.cfg.Logger.Error("request handler failed: this is a fault of Millrace, please report it", "panic", fmt.Sprint(r),
		"api_key", c.request.Key, "api_version", c.request.Version, "client_id", c.request.ClientID, "peer", c.peer.Remote.String(),
		"stack", string(debug.Stack()))
	return &frameError{"request handler failed"}
}
