package peer

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Mux is the inter-broker listener: it greets who connects and hands the connection to its purpose.
type Mux struct {
	cfg       Config
	listener  net.Listener
	purposes  [PurposeLifeline + 1]*handout
	slots     chan struct{} // one token for each handshake under way
	closed    chan struct{} // closed by Close
	greeting  sync.WaitGroup
	closeOnce sync.Once
	accepted  *prometheus.CounterVec
	refused   prometheus.Counter

	mu         sync.Mutex // guards the rest
	pending    map[net.Conn]struct{}
	closing    bool                   // Close has begun: nobody is let in
	remembered map[string]Identity    // by remote address
	order      []string               // keys of remembered, the oldest first
	told       map[Identity]time.Time // when a refusal was logged, by who and (for ClusterID) why
}

// NewMux makes the multiplexer of a listener, which it owns from here on.
func NewMux(l net.Listener, cfg Config) *Mux {
	m := &Mux{
		cfg: cfg.withDefaults(), listener: l, slots: make(chan struct{}, maxPendingHandshakes), closed: make(chan struct{}),
		pending: map[net.Conn]struct{}{}, remembered: map[string]Identity{}, told: map[Identity]time.Time{},
		accepted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "millrace_peer_connections_accepted_total", Help: "Connections of other brokers that were accepted, by purpose.",
		}, []string{"purpose"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "millrace_peer_connections_refused_total", Help: "Connections to the inter-broker listener whose handshake failed or was refused.",
		}),
	}
	for purpose := range m.purposes {
		m.purposes[purpose] = &handout{address: l.Addr(), conns: make(chan net.Conn), closed: make(chan struct{})}
	}
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(m.accepted, m.refused)
	}
	return m
}

// Kafka returns the listener of Kafka connections: bare connections, of which nothing was read ahead.
func (m *Mux) Kafka() net.Listener { return m.purposes[PurposeKafka] }

// Raft returns the listener of the quorum's streams.
func (m *Mux) Raft() net.Listener { return m.purposes[PurposeRaft] }

// Join returns the listener of questions.
func (m *Mux) Join() net.Listener { return m.purposes[PurposeJoin] }

// Lifelines returns the listener of other nodes' lifelines.
func (m *Mux) Lifelines() net.Listener { return m.purposes[PurposeLifeline] }

// Peer tells who is at the other end of a connection that was handed out, by its remote address. It knows the newest few
// thousand; ask when the connection is accepted.
func (m *Mux) Peer(remote net.Addr) (Identity, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id, ok := m.remembered[remote.String()]
	return id, ok
}

// Serve accepts connections until Close, whose coming is no error.
func (m *Mux) Serve() error {
	for {
		conn, err := m.listener.Accept()
		if err != nil && isTemporary(err) {
			select { // as when there are too many open files: what was accepted before may end
			case <-time.After(10 * time.Millisecond):
				continue
			case <-m.closed:
				return nil
			}
		}
		if err != nil {
			select {
			case <-m.closed:
				return nil
			default:
				return err
			}
		}
		m.admit(conn)
	}
}

func isTemporary(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ECONNABORTED) ||
		errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

// admit greets a connection on a goroutine of its own, unless too many are being greeted.
func (m *Mux) admit(conn net.Conn) {
	select {
	case m.slots <- struct{}{}:
	default:
		m.refused.Inc()
		_, _ = conn.Write([]byte{magic[0]}) // a word, lest this process be taken for ended (Hail); it cannot block
		_ = conn.Close()
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock() // Close waits for whoever was let in before it
	if m.closing {
		<-m.slots
		_ = conn.Close()
		return
	}
	m.pending[conn] = struct{}{}
	m.greeting.Go(func() {
		m.greet(conn)
		m.mu.Lock()
		delete(m.pending, conn)
		m.mu.Unlock()
		<-m.slots
	})
}

func (m *Mux) greet(conn net.Conn) {
	deadline := time.Now().Add(m.cfg.HandshakeTimeout)
	err := conn.SetDeadline(deadline)
	var h hello
	if err == nil {
		h, err = receive(conn, m.cfg.Identity(), m.cfg.Token)
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		m.refuse(conn, h, err)
		_ = conn.Close()
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetNoDelay(true)
		_ = tcp.SetKeepAliveConfig(keepAlive())
	}
	m.remember(conn.RemoteAddr().String(), h.from)
	m.accepted.WithLabelValues(h.purpose.String()).Inc()
	m.purposes[h.purpose].give(conn, m.closed, m.cfg.HandshakeTimeout)
}

// refuse tells of a connection that came to nothing. One that was closed before it said anything asked only whether
// somebody is here (Alive).
func (m *Mux) refuse(conn net.Conn, h hello, err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) {
		return
	}
	m.refused.Inc()
	if errors.Is(err, ErrRefused) {
		if !m.news(h.from, err.Error()) {
			return
		}
		m.cfg.Logger.Warn("refused connection of a broker", "remote", conn.RemoteAddr().String(), "node.id", h.from.NodeID,
			"cluster.id", h.from.ClusterID, "purpose", h.purpose.String(), "reason", err.Error())
		return
	}
	reason := err.Error()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		reason = "the handshake was not finished in time"
	}
	m.cfg.Logger.Warn("connection to the inter-broker listener is not of a broker", "remote", conn.RemoteAddr().String(), "reason", reason)
}

// news says whether a refusal was not told lately: who is refused tries again many times a second.
func (m *Mux) news(from Identity, reason string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if len(m.told) > maxPendingHandshakes {
		clear(m.told)
	}
	from.ClusterID = reason
	if last, ok := m.told[from]; ok && now.Sub(last) < tellAgain {
		return false
	}
	m.told[from] = now
	return true
}

func (m *Mux) remember(remote string, id Identity) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.remembered[remote]; !known {
		m.order = append(m.order, remote)
	}
	m.remembered[remote] = id
	if len(m.order) > maxRemembered {
		delete(m.remembered, m.order[0])
		m.order = m.order[1:]
	}
}

// Close stops accepting, ends the handshakes under way and waits for them. What was handed out is its owner's.
func (m *Mux) Close() error {
	var err error
	m.closeOnce.Do(func() {
		close(m.closed)
		err = m.listener.Close()
		for _, p := range m.purposes {
			_ = p.Close()
		}
		m.mu.Lock()
		m.closing = true
		for conn := range m.pending {
			_ = conn.SetDeadline(time.Unix(1, 0))
		}
		m.mu.Unlock()
		if m.cfg.Registerer != nil {
			m.cfg.Registerer.Unregister(m.accepted)
			m.cfg.Registerer.Unregister(m.refused)
		}
	})
	m.greeting.Wait()
	return err
}

// handout is the listener of one purpose.
type handout struct {
	address net.Addr
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

// give waits until somebody accepts conn; a purpose that nobody serves closes it after a while.
func (h *handout) give(conn net.Conn, closed <-chan struct{}, patience time.Duration) {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case h.conns <- conn:
		return
	case <-h.closed:
	case <-closed:
	case <-late.C:
	}
	_ = conn.Close()
}

func (h *handout) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *handout) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

func (h *handout) Addr() net.Addr { return h.address }
