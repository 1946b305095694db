package peer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Pool is the client side of Kafka requests between brokers: one shared connection for each node, dialled when it is
// first needed, and connections of one's own.
type Pool struct {
	cfg     Config
	resolve func(nodeID int32) (address string, directoryID [16]byte, ok bool)
	dialing context.Context // ended by Close
	stop    context.CancelFunc

	mu     sync.Mutex // guards the rest
	nodes  map[int32]*node
	owned  map[*Conn]struct{}
	closed bool
}

// node is the shared connection to one node.
type node struct {
	turn   chan struct{} // a token: whoever holds it looks at the connection, or dials a new one
	shared *shared       // owned by who holds turn; nil at first
}

// NewPool makes a pool that finds out by resolve where a node is; a directory id of zeros is any.
func NewPool(cfg Config, resolve func(nodeID int32) (address string, directoryID [16]byte, ok bool)) *Pool {
	dialing, stop := context.WithCancel(context.Background())
	return &Pool{
		cfg: cfg.withDefaults(), resolve: resolve, dialing: dialing, stop: stop,
		nodes: map[int32]*node{}, owned: map[*Conn]struct{}{},
	}
}

// Do sends a request to a node over the connection that all share, and returns its answer. The answer must not be waited
// for long by its nature: those behind it wait, too. A connection that turns out to have ended before anything of the
// request was sent is replaced, once.
func (p *Pool) Do(ctx context.Context, nodeID int32, req kmsg.Request) (kmsg.Response, error) {
	resp, again, err := p.try(ctx, nodeID, req)
	if again {
		resp, _, err = p.try(ctx, nodeID, req)
	}
	return resp, err
}

// try reports by again that the connection had ended and that nothing was sent.
func (p *Pool) try(ctx context.Context, nodeID int32, req kmsg.Request) (resp kmsg.Response, again bool, err error) {
	conn, err := p.connection(ctx, nodeID)
	if err != nil {
		return nil, false, fmt.Errorf("%s to broker %d: %w", kmsg.NameForKey(req.Key()), nodeID, err)
	}
	resp, err = conn.do(ctx, req)
	return resp, err != nil && !errors.Is(err, ErrOutcomeUnknown) && conn.isBroken(), err
}

// Dial opens a connection of one's own, which the caller closes.
func (p *Pool) Dial(ctx context.Context, nodeID int32) (*Conn, error) {
	to, address, err := p.find(nodeID)
	if err != nil {
		return nil, err
	}
	e, err := p.open(ctx, to, address)
	if err != nil {
		return nil, err
	}
	c := &Conn{exchange: e, nodeID: nodeID}
	c.forget = func() { p.forget(c) }
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = e.conn.Close()
		return nil, ErrClosed
	}
	p.owned[c] = struct{}{}
	return c, nil
}

func (p *Pool) forget(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.owned, c)
}

func (p *Pool) find(nodeID int32) (Identity, string, error) {
	address, directoryID, ok := p.resolve(nodeID)
	if !ok {
		return Identity{}, "", fmt.Errorf("broker %d: %w", nodeID, ErrUnknownNode)
	}
	return Identity{NodeID: nodeID, DirectoryID: directoryID}, address, nil
}

// connection returns the shared connection to a node, dialled anew when the node has moved or the connection has failed.
// While one caller dials the others wait for the same connection.
func (p *Pool) connection(ctx context.Context, nodeID int32) (*shared, error) {
	n, err := p.node(nodeID)
	if err != nil {
		return nil, err
	}
	select {
	case <-n.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { n.turn <- struct{}{} }()
	to, address, err := p.find(nodeID)
	if err != nil {
		return nil, err
	}
	if s := n.shared; s != nil && !s.isBroken() && s.to == to && s.address == address {
		return s, nil
	}
	return p.redial(ctx, n, nodeID, to, address)
}

func (p *Pool) node(nodeID int32) (*node, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	n := p.nodes[nodeID]
	if n == nil {
		n = &node{turn: make(chan struct{}, 1)}
		n.turn <- struct{}{}
		p.nodes[nodeID] = n
	}
	return n, nil
}

// redial is called by who holds the turn of n.
func (p *Pool) redial(ctx context.Context, n *node, nodeID int32, to Identity, address string) (*shared, error) {
	if n.shared != nil {
		n.shared.close(fmt.Errorf("broker %d has another address or directory now", nodeID))
		n.shared = nil
	}
	e, err := p.open(ctx, to, address)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		_ = e.conn.Close()
		return nil, ErrClosed
	}
	n.shared = newShared(nodeID, to, address, e)
	return n.shared, nil
}

// open dials until the caller's context or the pool ends.
func (p *Pool) open(ctx context.Context, to Identity, address string) (*exchange, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.dialing, cancel)()
	return openExchange(ctx, p.cfg, to, address)
}

// Close ends every connection; requests under way end with ErrOutcomeUnknown.
func (p *Pool) Close() error {
	p.stop()
	p.mu.Lock()
	p.closed = true
	nodes, owned := p.nodes, p.owned
	p.nodes, p.owned = map[int32]*node{}, map[*Conn]struct{}{}
	p.mu.Unlock()
	for c := range owned {
		_ = c.exchange.conn.Close()
	}
	for _, n := range nodes {
		<-n.turn
		if n.shared != nil {
			n.shared.close(ErrClosed)
		}
		n.turn <- struct{}{}
	}
	return nil
}
