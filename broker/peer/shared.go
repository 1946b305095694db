package peer

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// shared is a connection that many use at once: requests are written one behind the other, and a goroutine gives their
// answers, which come in the same order, to who waits for them.
type shared struct {
	nodeID   int32
	to       Identity
	address  string
	exchange *exchange
	slots    chan struct{}  // a token for each request in flight
	waiting  chan *inFlight // in the order in which they were written; never full, since slots are fewer
	broken   chan struct{}  // closed when the connection has failed
	read     sync.WaitGroup

	writing sync.Mutex // held while a request is written, so that waiting has the order of the connection
	out     []byte     // owned by who holds writing

	mu  sync.Mutex // guards err
	err error      // why it broke
}

// inFlight is one request that was written.
type inFlight struct {
	correlation int32
	resp        kmsg.Response
	done        chan error // buffered; one error or nil
}

func newShared(nodeID int32, to Identity, address string, e *exchange) *shared {
	s := &shared{
		nodeID: nodeID, to: to, address: address, exchange: e, slots: make(chan struct{}, maxInFlight),
		waiting: make(chan *inFlight, maxInFlight), broken: make(chan struct{}),
	}
	s.read.Go(s.readAnswers)
	return s
}

func (s *shared) isBroken() bool {
	select {
	case <-s.broken:
		return true
	default:
		return false
	}
}

func (s *shared) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		_ = s.exchange.conn.Close()
		close(s.broken)
	}
}

func (s *shared) cause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// readAnswers runs until the connection ends. It reads even when nothing is due, so that an end is seen at once.
func (s *shared) readAnswers() {
	for {
		if _, err := s.exchange.reader.Peek(1); err != nil {
			s.fail(err)
			break
		}
		var next *inFlight
		select {
		case next = <-s.waiting:
		default: // each request is queued before it is written
			s.fail(errUnasked)
		}
		if next == nil {
			break
		}
		body, err := s.exchange.read(next.correlation, nil)
		if err != nil {
			s.fail(err)
			next.done <- err
			break
		}
		next.done <- decode(next.resp, body)
		<-s.slots
	}
	s.abandon()
}

// abandon tells those that still wait. Nobody queues after the connection has broken.
func (s *shared) abandon() {
	s.writing.Lock()
	defer s.writing.Unlock()
	for {
		select {
		case left := <-s.waiting:
			left.done <- s.cause()
		default:
			return
		}
	}
}

// do sends a request and waits for its answer. A caller that gives up leaves its answer to be read and thrown away.
func (s *shared) do(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	select {
	case s.slots <- struct{}{}:
	case <-s.broken:
		return nil, requestError(req, s.nodeID, false, s.cause())
	case <-ctx.Done():
		return nil, requestError(req, s.nodeID, false, ctx.Err())
	}
	one, sent, err := s.send(req)
	if err != nil {
		return nil, requestError(req, s.nodeID, sent, err)
	}
	select {
	case err := <-one.done:
		if err != nil {
			return nil, requestError(req, s.nodeID, true, err)
		}
		return one.resp, nil
	case <-ctx.Done():
		return nil, requestError(req, s.nodeID, true, ctx.Err())
	}
}

// send queues and writes a request. A write that stands still is ended by the system, once the other end has not
// acknowledged anything for long, or by Close.
func (s *shared) send(req kmsg.Request) (one *inFlight, sent bool, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.isBroken() {
		return nil, false, s.cause()
	}
	if err := s.exchange.settle(req); err != nil {
		<-s.slots
		return nil, false, err
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	one = &inFlight{correlation: s.exchange.last + 1, resp: resp, done: make(chan error, 1)}
	s.waiting <- one
	sent, s.out, err = s.exchange.write(req, s.out)
	if err != nil {
		s.fail(err)
		return nil, sent, err
	}
	return one, true, nil
}

func (s *shared) close(why error) {
	s.fail(why)
	s.read.Wait()
}
