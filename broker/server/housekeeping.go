package server

import (
	"time"
)

// A frame that has begun must be whole within FrameGrace, or bring at least so much in each FrameGrace: a sender that stops
// in the middle would hold memory that others wait for.
const frameMinBytesPerSecond = 32 << 10

// housekeeping looks at every connection's limits in time once per interval: one goroutine for all, and no timer or
// deadline per connection.
func (s *Server) housekeeping() {
	ticker := time.NewTicker(s.cfg.HousekeepingInterval)
	defer ticker.Stop()
	for {
		select {
		case <-s.stopped:
			return
		case <-ticker.C:
			now := s.cfg.Clock()
			s.each(func(c *connection) { s.inspect(c, now) })
		}
	}
}

// inspect ends a connection that is over a limit.
func (s *Server) inspect(c *connection, now time.Time) {
	quiet := now.Sub(time.Unix(0, c.lastActive.Load()))
	if c.parked.Load() {
		if quiet > s.cfg.HousekeepingInterval && c.in.raw != nil && hungUp(c.in.raw) {
			c.end() // the handler stops waiting
		}
		return
	}
	if began := c.frameBegan.Load(); began != 0 {
		if c.graceOf != began {
			c.graceOf, c.graceBegan, c.graceBytes = began, time.Unix(0, began), 0
		}
		if now.Sub(c.graceBegan) <= s.cfg.FrameGrace {
			return
		}
		bytes := c.frameBytes.Load()
		if bytes-c.graceBytes < int64(s.cfg.FrameGrace.Seconds()*frameMinBytesPerSecond) {
			c.expire("slow")
		}
		c.graceBegan, c.graceBytes = now, bytes
		return
	}
	if s.cfg.MaxIdle > 0 && quiet > s.cfg.MaxIdle {
		c.expire("idle")
	}
}

// expire ends a connection from outside; its goroutine finds the socket closed.
func (c *connection) expire(reason string) {
	if c.expiredAs.CompareAndSwap(nil, &reason) {
		c.end()
		_ = c.net.Close()
	}
}
