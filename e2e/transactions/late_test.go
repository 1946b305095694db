//go:build e2e

package transactions

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// lateNetwork is a network in which a copy of every EndTxn is still on its way when the original has arrived: what a
// client sends again on another connection after a pause, and what then comes first (KAFKA-17754).
type lateNetwork struct {
	mu   sync.Mutex
	late []lateFrame // guarded by mu
}

type lateFrame struct {
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
	if len(p) >= 12 && int(binary.BigEndian.Uint32(p)) == len(p)-4 && binary.BigEndian.Uint16(p[4:]) == uint16(kmsg.EndTxn) {
		c.network.mu.Lock()
		c.network.late = append(c.network.late, lateFrame{c.address, append([]byte(nil), p...)})
		c.network.mu.Unlock()
	}
	return c.Conn.Write(p)
}

// arrive lets what is still on its way come in, on connections of its own, and waits for the answers. It reports whether
// one of them was carried out.
func (l *lateNetwork) arrive(t *testing.T) (carriedOut bool) {
	t.Helper()
	l.mu.Lock()
	late := l.late
	l.late = nil
	l.mu.Unlock()
	for _, f := range late {
		conn, err := net.DialTimeout("tcp", f.address, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		answer := make([]byte, 4+4+4+2) // size, correlation id, throttle time, error code: a version before flexible ones
		if _, err = conn.Write(f.frame); err == nil {
			_, err = io.ReadFull(conn, answer)
		}
		conn.Close()
		if err != nil {
			t.Fatalf("a late EndTxn was not answered: %v", err)
		}
		carriedOut = carriedOut || binary.BigEndian.Uint16(answer[12:]) == 0
	}
	return carriedOut
}

// TestALateEndOfTheLastTransaction lets the end of each transaction arrive once more in the middle of the next. A producer
// of version 2 has another epoch by then, and nothing happens. One of version 1 cannot be told from its own past: its
// transaction ends early, and it is told so at its next write, so that it never takes a torn transaction for a whole one.
func TestALateEndOfTheLastTransaction(t *testing.T) {
	for _, old := range []bool{false, true} {
		t.Run(map[bool]string{false: "version 2", true: "version 1"}[old], func(t *testing.T) {
			s := newStage(t, 1)
			network := &lateNetwork{}
			p := s.producer(old, "late", kgo.Dialer(network.dial))
			for i := range number(t, "TRANSACTIONS_ROUNDS", 150) {
				p.begin()
				err := p.write(0, fmt.Sprint(i, " a"))
				if err != nil {
					t.Fatalf("transaction %d: %v", i, err)
				}
				ended := network.arrive(t) && old
				if ended {
					s.awaitStable()
				}
				switch err = p.write(0, fmt.Sprint(i, " b")); {
				case !old && err != nil:
					t.Fatalf("transaction %d: %v", i, err)
				case ended && err == nil:
					t.Fatalf("transaction %d was ended by a late request, and its producer goes on without a word", i)
				}
				p.end(err == nil && i%3 != 2)
			}
			s.check(old) // of a torn transaction of version 1 the first half may be there
		})
	}
}
