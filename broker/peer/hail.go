package peer

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"time"
)

// ErrAbsent says that no process is at an address: it refuses, or ends a connection without a word.
var ErrAbsent = errors.New("no process is at the address")

// hailTimeout bounds Hail. Only a process that is stopped, or is just ending, takes a connection and says nothing.
const hailTimeout = 100 * time.Millisecond

// Hail returns nil when the process at an address has spoken since the call began: who accepts speaks first. ErrAbsent says
// that the process has ended, any other error that nothing was heard.
//
// Alive does not see the end of a process while it takes place. A process that was killed closes its descriptors one by one,
// Linux the newest first and so the listener after all connections, and until then its kernel goes on to accept. With some
// thousand connections that takes a tenth of a second.
func Hail(ctx context.Context, address string) error {
	asked, cancel := context.WithTimeout(ctx, hailTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(asked, "tcp", address)
	if err == nil {
		err = hear(asked, conn)
	}
	if ctx.Err() == nil && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET)) {
		return ErrAbsent
	}
	return err
}

// hear waits for the first byte and ends the connection.
func hear(ctx context.Context, conn net.Conn) error {
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
	var first [1]byte
	_, err := conn.Read(first[:])
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a reset leaves no port in TIME_WAIT, and the other side takes it for what it is (Mux.refuse)
	}
	_ = conn.Close()
	return err
}
