package peer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Conn is a connection of one's own to another broker: one request at a time, written and read by the caller's own
// goroutine. After an error it is of no more use; whoever dialled it closes it.
type Conn struct {
	exchange *exchange
	nodeID   int32
	forget   func()

	mu       sync.Mutex // held for the length of a request: requests of one connection take turns
	out      []byte     // what was written last, to be used again
	broken   error
	deadline time.Time // of the connection; zero: none
}

// NodeID returns whom the connection leads to.
func (c *Conn) NodeID() int32 { return c.nodeID }

// Do sends a request at the highest version that both ends know and returns its answer.
func (c *Conn) Do(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := errors.Join(c.broken, ctx.Err()); err != nil {
		return nil, err
	}
	if err := c.wait(time.Time{}); err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	stop := context.AfterFunc(ctx, func() { _ = c.exchange.conn.SetDeadline(time.Unix(1, 0)) })
	_, err := c.roundTrip(req, resp, nil)
	if !stop() { // the deadline is set, or about to be
		c.spoil()
		if err != nil {
			err = errors.Join(err, ctx.Err())
		}
	}
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// patienceSlack is how much later than asked for a request of DoInto may end: so its deadline need not be set each time.
const patienceSlack = 5 * time.Second

// DoInto is Do for who asks again and again: it allocates nothing. It ends when no answer comes for so long, or by Close. The
// buffer takes the bytes of the answer and is returned in any case; it may have grown, and what resp holds of bytes lies in it.
func (c *Conn) DoInto(req kmsg.Request, resp kmsg.Response, buf []byte, patience time.Duration) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return buf, c.broken
	}
	if now := time.Now(); c.deadline.Sub(now) < patience {
		if err := c.wait(now.Add(patience + patienceSlack)); err != nil {
			return buf, err
		}
	}
	return c.roundTrip(req, resp, buf)
}

// wait sets until when the connection waits.
func (c *Conn) wait(deadline time.Time) error {
	if c.deadline.Equal(deadline) {
		return nil
	}
	c.deadline = deadline
	return c.exchange.conn.SetDeadline(deadline)
}

func (c *Conn) roundTrip(req kmsg.Request, resp kmsg.Response, buf []byte) ([]byte, error) {
	if err := c.exchange.settle(req); err != nil {
		return buf, err
	}
	resp.SetVersion(req.GetVersion())
	sent, out, err := c.exchange.write(req, c.out)
	c.out = out
	if err != nil {
		return buf, c.fail(req, sent, err)
	}
	body, buf, err := c.exchange.readAlone(c.exchange.last, buf)
	if err != nil {
		return buf, c.fail(req, true, err)
	}
	return buf, decode(resp, body)
}

// fail ends the connection: where in the stream of answers it stands is not known.
func (c *Conn) fail(req kmsg.Request, sent bool, err error) error {
	_ = c.exchange.conn.Close()
	c.broken = fmt.Errorf("the connection to broker %d has failed before: %w", c.nodeID, err)
	return requestError(req, c.nodeID, sent, err)
}

// spoil ends a connection that nobody may use any more.
func (c *Conn) spoil() {
	if c.broken == nil {
		c.broken = ErrClosed
		_ = c.exchange.conn.Close()
	}
}

func requestError(req kmsg.Request, nodeID int32, sent bool, err error) error {
	if sent {
		return fmt.Errorf("%s to broker %d: %w: %w", kmsg.NameForKey(req.Key()), nodeID, ErrOutcomeUnknown, err)
	}
	return fmt.Errorf("send %s to broker %d: %w", kmsg.NameForKey(req.Key()), nodeID, err)
}

// Close ends the connection and a request that is under way on it.
func (c *Conn) Close() error {
	c.forget()
	return c.exchange.conn.Close()
}
