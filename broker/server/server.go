package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace-io/millrace/security"
)

// Server is one Kafka listener.
type Server struct {
	cfg      Config
	metrics  *metrics
	slabs    *slabs
	flexible *flexibleFrom
	warnings limitedLog

	ctx     context.Context // parent of every peer's context
	cancel  context.CancelFunc
	closing atomic.Bool
	stopped chan struct{} // closed when Close begins
	group   sync.WaitGroup
	lastID  atomic.Uint64

	inputBytes atomic.Int64 // in read buffers

	mu          sync.Mutex
	connections map[*connection]struct{} // guarded by mu
	perIP       map[string]int           // guarded by mu
}

// New makes the server of a listener that is already bound; Serve starts it.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("kafka listener %s: %w", cfg.Name, err)
	}
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		cfg: cfg, slabs: newSlabs(cfg.FreeBufferBytes), flexible: newFlexibleFrom(),
		warnings: limitedLog{logger: cfg.Logger}, ctx: ctx, cancel: cancel, stopped: make(chan struct{}),
		connections: map[*connection]struct{}{}, perIP: map[string]int{},
	}
	s.metrics = newMetrics(cfg.Registerer, cfg.Name, &s.inputBytes)
	return s, nil
}

// Addr returns the address the listener is bound to.
func (s *Server) Addr() net.Addr { return s.cfg.Listener.Addr() }

// Serve accepts connections until Close. It returns nil after Close.
func (s *Server) Serve() error {
	s.mu.Lock()
	if !s.closing.Load() {
		s.group.Go(s.housekeeping) // under mu, as in admit
	}
	s.mu.Unlock()
	delay := time.Duration(0)
	for {
		conn, err := s.cfg.Listener.Accept()
		if err != nil {
			if s.closing.Load() {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accept on %s: %w", s.Addr(), err)
			}
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			s.warn("accept failed, trying again", "listener", s.cfg.Name, "error", err, "delay", delay)
			select {
			case <-time.After(delay):
				continue
			case <-s.stopped:
				return nil
			}
		}
		delay = 0
		s.admit(conn)
	}
}

// admit starts a connection unless a limit stands against it.
func (s *Server) admit(conn net.Conn) {
	host := hostOf(conn.RemoteAddr())
	s.mu.Lock()
	limit := ""
	switch {
	case s.closing.Load():
		limit = "closing"
	case s.cfg.MaxConnections > 0 && len(s.connections) >= s.cfg.MaxConnections:
		limit = "max.connections"
	case s.cfg.MaxConnectionsPerIP > 0 && s.perIP[host] >= s.cfg.MaxConnectionsPerIP:
		limit = "max.connections.per.ip"
	}
	if limit != "" {
		s.mu.Unlock()
		s.metrics.refused.WithLabelValues(limit).Inc()
		s.warn("connection refused", "peer", conn.RemoteAddr().String(), "listener", s.cfg.Name, "limit", limit)
		_ = conn.Close()
		return
	}
	c := s.newConnection(conn, host)
	s.connections[c] = struct{}{}
	s.perIP[host]++
	s.group.Add(1) // under mu: Close waits for whoever was let in before it
	s.mu.Unlock()
	s.metrics.accepted.Inc()
	s.metrics.open.Inc()
	go func() {
		defer s.group.Done()
		defer s.forget(c, host)
		c.serve()
	}()
}

func (s *Server) newConnection(conn net.Conn, host string) *connection {
	ctx, cancel := context.WithCancel(s.ctx)
	if tcp, ok := conn.(*net.TCPConn); ok {
		if s.cfg.SendBufferBytes > 0 {
			_ = tcp.SetWriteBuffer(s.cfg.SendBufferBytes)
		}
		if s.cfg.ReceiveBufferBytes > 0 {
			_ = tcp.SetReadBuffer(s.cfg.ReceiveBufferBytes)
		}
	}
	peer := &Peer{Context: ctx, ID: s.lastID.Add(1), Listener: s.cfg.Name, Local: conn.LocalAddr(), Remote: conn.RemoteAddr(),
		Identity: security.Anonymous(host)}
	c := &connection{server: s, net: conn, peer: peer, end: cancel, session: s.cfg.NewSession(peer)}
	c.in = newInput(conn, s.slabs, s.cfg.MemoryBudget, &s.inputBytes, s.cfg.IdleReadBufferBytes, s.cfg.MaxDrainBytes)
	c.out = Writer{conn: c, sender: newFileSender(c.in.raw), direct: newDescriptorWriter(c.in.raw)}
	c.lastActive.Store(s.cfg.Clock().UnixNano())
	return c
}

func (s *Server) forget(c *connection, host string) {
	s.metrics.open.Dec()
	s.mu.Lock()
	delete(s.connections, c)
	if s.perIP[host]--; s.perIP[host] == 0 {
		delete(s.perIP, host)
	}
	s.mu.Unlock()
}

// Close stops accepting, lets requests in hand finish until ctx ends, then ends what is left. It returns when every
// goroutine of the server has ended.
func (s *Server) Close(ctx context.Context) error {
	if s.closing.Swap(true) {
		s.group.Wait()
		return nil
	}
	close(s.stopped)
	err := s.cfg.Listener.Close()
	s.each(func(c *connection) {
		_ = c.net.SetReadDeadline(time.Unix(1, 0)) // wakes those that wait for a request
		if c.parked.Load() {
			c.end()
		}
	})
	done := make(chan struct{})
	go func() {
		s.group.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		s.cancel()
		s.each(func(c *connection) { _ = c.net.Close() })
		<-done
	}
	s.cancel()
	return err
}

// Peers returns the connections that are open.
func (s *Server) Peers() []*Peer {
	var peers []*Peer
	s.each(func(c *connection) { peers = append(peers, c.peer) })
	return peers
}

// LastActive is when a connection that is still there was heard from or answered last; the zero time if there is none.
func (s *Server) LastActive() (last time.Time) {
	nanos := int64(0)
	s.each(func(c *connection) { nanos = max(nanos, c.lastActive.Load()) })
	if nanos > 0 {
		last = time.Unix(0, nanos)
	}
	return last
}

func (s *Server) each(fn func(*connection)) {
	s.mu.Lock()
	all := make([]*connection, 0, len(s.connections))
	for c := range s.connections {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, c := range all {
		fn(c)
	}
}

func (s *Server) frameLimit(peer *Peer) int {
	if s.cfg.FrameLimit != nil {
		return min(s.cfg.FrameLimit(peer), s.cfg.RequestMaxBytes)
	}
	return s.cfg.RequestMaxBytes
}

func (s *Server) warn(message string, args ...any) { s.warnings.warn(s.cfg.Clock(), message, args...) }

func hostOf(addr net.Addr) string {
	host, _, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	return host
}

// limitedLog writes a bounded number of warnings per second: clients must not fill the log.
type limitedLog struct {
	logger  *slog.Logger
	mu      sync.Mutex
	second  int64 // guarded by mu
	written int   // guarded by mu
	dropped int   // guarded by mu
}

const warningsPerSecond = 5

func (l *limitedLog) warn(now time.Time, message string, args ...any) {
	l.mu.Lock()
	if now.Unix() != l.second {
		l.second, l.written = now.Unix(), 0
	}
	if l.written >= warningsPerSecond {
		l.dropped++
		l.mu.Unlock()
		return
	}
	l.written++
	dropped := l.dropped
	l.dropped = 0
	l.mu.Unlock()
	if dropped > 0 {
		args = append(args, "warnings_not_shown", dropped)
	}
	l.logger.Warn(message, args...)
}
