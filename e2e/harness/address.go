package harness

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"
)

// FreeAddress returns a loopback address on which nothing listens now. Another process may take it before the caller
// does: a server that then fails to bind says so in its log.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().String()
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
