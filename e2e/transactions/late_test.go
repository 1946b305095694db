//go:build e2e

package transactions

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// lateNetwork is a network in which a copy of every EndTxn, AddPartitionsToTxn and Produce is still on its way when the original has
// arrived: what a client sends again on another connection after a pause, and what then comes first (KAFKA-17754).
type lateNetwork struct {
	mu   sync.Mutex
	late []lateFrame // guarded by mu
}

type lateFrame struct {
	api     kmsg.Key
	address string
	frame   []byte
}

// dial implements kgo.Dialer.
func (l *lateNetwork) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &lateConn{Conn: conn, network: l, address: address}, nil
}

type lateConn struct {
	net.Conn
	network *lateNetwork
	address string
}

// Write sees whole requests: that is how the client writes.
func (c *lateConn) Write(p []byte) (int, error) {
	if len(p) >= 12 && int(binary.BigEndian.Uint32(p)) == len(p)-4 {
		if api := kmsg.Key(binary.BigEndian.Uint16(p[4:])); api == kmsg.EndTxn || api == kmsg.AddPartitionsToTxn || api == kmsg.Produce {
			c.network.mu.Lock()
			c.network.late = append(c.network.late, lateFrame{api, c.address, append([]byte(nil), p...)})
			c.network.mu.Unlock()
		}
	}
	return c.Conn.Write(p)
}

// arrive lets requests that are still on their way come in, the last one first, on connections of their own, and waits for
// the answers. Others stay on their way. It reports how many came, and whether an EndTxn was carried out.
func (l *lateNetwork) arrive(t *testing.T, api kmsg.Key) (came int, carriedOut bool) {
	t.Helper()
	return l.deliver(t, api, false)
}

// deliver is arrive; with keep there are further copies on their way.
func (l *lateNetwork) deliver(t *testing.T, api kmsg.Key, keep bool) (came int, carriedOut bool) {
	t.Helper()
	l.mu.Lock()
	var late, rest []lateFrame
	for _, f := range l.late {
		if f.api == api {
			late = append(late, f)
		}
		if f.api != api || keep {
			rest = append(rest, f)
		}
	}
	l.late = rest
	l.mu.Unlock()
	for _, f := range slices.Backward(late) {
		answer, err := f.send()
		if err != nil {
			t.Fatalf("a late %s was not answered: %v", api.Name(), err)
		}
		carriedOut = carriedOut || api == kmsg.EndTxn && binary.BigEndian.Uint16(answer[8:]) == 0 // after correlation id and throttle time
	}
	return len(late), carriedOut
}

// send returns the answer without its size.
func (f *lateFrame) send() ([]byte, error) {
	conn, err := net.DialTimeout("tcp", f.address, 10*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Write(f.frame); err != nil {
		return nil, err
	}
	size := make([]byte, 4)
	if _, err := io.ReadFull(conn, size); err != nil {
		return nil, err
	}
	answer := make([]byte, binary.BigEndian.Uint32(size))
	_, err = io.ReadFull(conn, answer)
	if err == nil && len(answer) < 10 {
		err = io.ErrUnexpectedEOF
	}
	return answer, err
}

// drop forgets what is on its way.
func (l *lateNetwork) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.late = nil
}

// TestALateEndOfTheLastTransaction lets the end of each transaction arrive once more in the middle of the next, and what one
// of version 1 added between the two. A producer of version 2 has another epoch by then, and nothing happens. One of version
// 1 cannot be told from its own past: its transaction ends early, and it is told so at its next write, so that it never takes a
// torn transaction for a whole one; in every fourth round only what it added is late, which does no harm.
func TestALateEndOfTheLastTransaction(t *testing.T) {
	for _, old := range []bool{false, true} {
		t.Run(map[bool]string{false: "version 2", true: "version 1"}[old], func(t *testing.T) {
			s := newStage(t, 1)
			network := &lateNetwork{}
			p := s.producer(old, "late", kgo.Dialer(network.dial))
			ends, additions := 0, 0
			for i := range number(t, "TRANSACTIONS_ROUNDS", 150) {
				came, _ := network.arrive(t, kmsg.AddPartitionsToTxn)
				additions += came
				p.begin()
				err := p.write(0, fmt.Sprint(i, " a"))
				if err != nil {
					t.Fatalf("transaction %d: %v", i, err)
				}
				ended := false
				if !old || i%4 != 3 {
					came, carriedOut := network.arrive(t, kmsg.EndTxn)
					ends, ended = ends+came, carriedOut && old
				}
				if ended {
					s.awaitStable()
				}
				switch err = p.write(0, fmt.Sprint(i, " b")); {
				case !ended && err != nil:
					t.Fatalf("transaction %d: %v", i, err)
				case ended && err == nil:
					t.Fatalf("transaction %d was ended by a late request, and its producer goes on without a word", i)
				}
				if old && i%4 == 3 {
					network.drop()
				}
				p.end(err == nil && i%3 != 2)
			}
			t.Logf("%d ends and %d additions came late", ends, additions)
			if ends == 0 || old && additions == 0 {
				t.Error("nothing came late: the test has shown nothing")
			}
			s.check(old) // of a torn transaction of version 1 the first half may be there
		})
	}
}
