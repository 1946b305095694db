package server

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// connection is one client. Its goroutine owns everything but the atomics, which housekeeping reads, and what housekeeping
// owns; see suspension for when others own it.
type connection struct {
	server  *Server
	net     net.Conn
	peer    *Peer
	session Session
	in      *input
	out     Writer
	request Request
	later   suspension
	end     context.CancelFunc // ends peer.Context
	greeted bool               // the first bytes were looked at

	lastActive atomic.Int64 // unix nanos of the last bytes or answer
	frameBegan atomic.Int64 // unix nanos; 0: no frame is half here
	frameBytes atomic.Int64 // how much of it is here
	parked     atomic.Bool  // a handler waits for what other clients do
	expiredAs  atomic.Pointer[string]

	graceOf    int64     // owned by housekeeping: frameBegan of the frame that the next two are about
	graceBegan time.Time // owned by housekeeping
	graceBytes int64     // owned by housekeeping: how much of the frame was here then
}

// errClosing ends a connection at a clean stop.
var errClosing = errors.New("the server is closing")

// serve runs the connection to its end.
func (c *connection) serve() {
	err := c.run()
	c.close(err)
}

func (c *connection) run() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = c.failed(r)
		}
	}()
	for {
		if err := c.await(); err != nil {
			return err
		}
		if err := c.burst(); err != nil {
			c.out.discard()
			_ = c.out.Flush() // answers that were complete
			return err
		}
	}
}

// burst handles every complete frame that is here, then answers what was staged, with one write.
func (c *connection) burst() error {
	c.lastActive.Store(c.server.cfg.Clock().UnixNano())
	if !c.greeted {
		if err := c.greet(); err != nil {
			return err
		}
	}
	err := c.frames()
	if settleErr := c.session.Settle(&c.out); err == nil {
		err = settleErr
	}
	if err != nil {
		return err
	}
	if err := c.flush(); err != nil {
		return err
	}
	if c.server.closing.Load() {
		return errClosing
	}
	c.out.rest()
	c.noteHalfFrame()
	return nil
}

func (c *connection) frames() error {
	received := 0
	defer func() { c.server.metrics.bytesIn.Add(float64(received)) }()
	for {
		frame, ok, err := c.in.next(c.server.frameLimit(c.peer))
		if err != nil {
			return err
		}
		if !ok {
			return nil
		}
		if c.frameBegan.Load() != 0 {
			c.frameBegan.Store(0)
		}
		received += len(frame) + 4
		if err := c.server.flexible.parse(frame, &c.request); err != nil {
			return &frameError{err.Error()}
		}
		if err := c.session.Handle(&c.request, &c.out); err != nil {
			return err
		}
		if c.out.Pending() >= c.server.cfg.MaxWriteBatchBytes {
			if err := c.flush(); err != nil {
				return err
			}
		}
	}
}

// noteHalfFrame lets housekeeping know since when a frame has been arriving.
func (c *connection) noteHalfFrame() {
	bytes, half := c.in.partial()
	if !half {
		return
	}
	c.frameBytes.Store(int64(bytes))
	if c.frameBegan.Load() == 0 {
		c.frameBegan.Store(c.server.cfg.Clock().UnixNano())
	}
}

// greet looks at the first bytes of a connection: programs that do not speak Kafka get what helps their user.
func (c *connection) greet() error {
	first := c.in.first(4)
	if len(first) < 4 {
		return nil
	}
	c.greeted = true
	protocol := foreign(first)
	if protocol == "" {
		return nil
	}
	if protocol == "HTTP" {
		_ = c.net.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = io.WriteString(c.net, httpAnswer())
	}
	return &frameError{"the client speaks " + protocol + ", not the Kafka protocol: wrong port, or wrong security.protocol at the client"}
}

func (c *connection) flush() error {
	if c.out.Pending() == 0 {
		return nil
	}
	return c.out.Flush()
}

// park writes the answers so far and lets go of the read buffer if it holds nothing more.
func (c *connection) park() error {
	if err := c.flush(); err != nil {
		return err
	}
	c.in.rest()
	c.out.rest()
	c.lastActive.Store(c.server.cfg.Clock().UnixNano())
	c.parked.Store(true)
	if c.server.closing.Load() {
		c.end()
	}
	return nil
}

// close says why the connection ends, where that is of use to somebody, and lets go of everything.
func (c *connection) close(err error) {
	reason := c.reason(err)
	c.server.metrics.closed.WithLabelValues(reason).Inc()
	var bad *frameError
	switch {
	case errors.As(err, &bad):
		c.server.warn("connection closed", "peer", c.peer.Remote.String(), "listener", c.peer.Listener, "cause", bad.message)
	case reason == "handler" || reason == "slow" || reason == "memory":
		c.server.warn("connection closed", "peer", c.peer.Remote.String(), "listener", c.peer.Listener, "cause", reason, "error", err)
	}
	c.end()
	c.session.Close()
	c.out.close()
	c.in.close()
	_ = c.net.Close()
}

func (c *connection) reason(err error) string {
	var bad *frameError
	if expired := c.expiredAs.Load(); expired != nil {
		return *expired
	}
	switch {
	case errors.As(err, &bad):
		return "bad_frame"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrUnexpectedEOF):
		return "client"
	case errors.Is(err, errClosing), errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded):
		return "shutdown"
	case errors.Is(err, ErrOverBudget):
		return "memory"
	}
	return "handler"
}
