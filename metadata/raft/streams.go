package raft

import (
	"context"
	"net"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"
)

// Streams is how a member reaches the others: connections whose other end is known to be who it should be.
type Streams interface {
	// DialRaft opens a stream to exactly this member: this node with this directory.
	DialRaft(ctx context.Context, nodeID int32, directoryID [16]byte, address string) (net.Conn, error)
	// Raft is where the streams of other members arrive. The quorum accepts from it between Start and Close, and closes it.
	Raft() net.Listener
	// Gone asks whether an address refuses connections outright, so that the process behind it has ended.
	Gone(ctx context.Context, address string) bool
}

// layer is the streams as hashicorp/raft wants them. It knows every connection, so that Close ends them all, and tells
// when one that another member opened has ended.
type layer struct {
	streams Streams
	self    hraft.ServerAddress
	ended   chan struct{} // a token after a stream of another member has ended
	arrived func()        // called for each stream of another member
	ctx     context.Context
	cancel  context.CancelFunc

	mu     sync.Mutex // guards the rest
	conns  map[*stream]struct{}
	closed bool
}

func newLayer(streams Streams, self hraft.ServerAddress, arrived func()) *layer {
	l := &layer{streams: streams, self: self, ended: make(chan struct{}, 1), arrived: arrived, conns: map[*stream]struct{}{}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// stream is one connection of the layer.
type stream struct {
	net.Conn
	layer    *layer
	accepted bool
	once     sync.Once
}

func (s *stream) Close() error {
	err := s.Conn.Close()
	s.once.Do(func() { s.layer.forget(s) })
	return err
}

// Accept implements net.Listener.
func (l *layer) Accept() (net.Conn, error) {
	conn, err := l.streams.Raft().Accept()
	if err != nil {
		return nil, err
	}
	l.arrived()
	return l.remember(conn, true)
}

// Dial implements hraft.StreamLayer.
func (l *layer) Dial(address hraft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	to, err := parseMember(address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(l.ctx, timeout)
	defer cancel()
	conn, err := l.streams.DialRaft(ctx, to.NodeID, to.DirectoryID, to.Address)
	if err != nil {
		return nil, err
	}
	return l.remember(conn, false)
}

func (l *layer) remember(conn net.Conn, accepted bool) (net.Conn, error) {
	s := &stream{Conn: conn, layer: l, accepted: accepted}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	l.conns[s] = struct{}{}
	return s, nil
}

func (l *layer) forget(s *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, s)
	if !s.accepted || l.closed {
		return
	}
	select {
	case l.ended <- struct{}{}:
	default:
	}
}

// Close ends every connection.
func (l *layer) Close() error {
	l.cancel()
	l.mu.Lock()
	l.closed = true
	conns := l.conns
	l.conns = map[*stream]struct{}{}
	l.mu.Unlock()
	for s := range conns {
		_ = s.Conn.Close()
	}
	return l.streams.Raft().Close()
}

// Addr implements net.Listener: hashicorp/raft takes it for the member's own address.
func (l *layer) Addr() net.Addr { return layerAddr(l.self) }

type layerAddr string

func (layerAddr) Network() string  { return "raft" }
func (a layerAddr) String() string { return string(a) }
