package harness

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// The ports that FreeAddress chooses from lie below those that systems give to connections: one of those could be taken by
// any connection between the choice and the server's start, or while the server is down.
const (
	lowestPort = 10240
	ports      = 32768 - lowestPort
)

var given sync.Map // of this process: ports, each given to one caller

// FreeAddress returns a loopback address on which nothing listens now, and which it returns once only. Another process may
// take it before the caller does: a server that then fails to bind says so in its log.
func FreeAddress(t testing.TB) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", lowestPort+rand.IntN(ports))
		if _, taken := given.LoadOrStore(address, true); taken {
			continue
		}
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// awaitListening returns once something accepts connections on the address, and fails when gone closes first.
func awaitListening(ctx context.Context, address string, gone <-chan struct{}) error {
	for {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			return c.Close()
		}
		select {
		case <-gone:
			return fmt.Errorf("process ended before it listened on %s", address)
		case <-ctx.Done():
			return fmt.Errorf("nothing listens on %s: %w", address, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
