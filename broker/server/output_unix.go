//go:build unix

package server

import (
	"io"
	"syscall"

	"github.com/millrace-io/millrace/broker/socket"
)

// descriptorWriter writes bytes to the socket of a connection. Owned by the connection's goroutine.
type descriptorWriter struct {
	socket syscall.RawConn // nil: writes go through net.Conn, e.g. in tests without sockets
	step   func(fd uintptr) bool

	rest []byte // valid during write only
	err  error  // result of step
}

func newDescriptorWriter(raw syscall.RawConn) descriptorWriter {
	return descriptorWriter{socket: raw}
}

func (w *descriptorWriter) usable() bool { return w.socket != nil }

// write writes all of p, waiting as often as the socket is full.
func (w *descriptorWriter) write(p []byte) error {
	if w.step == nil {
		w.step = w.writeSome
	}
	w.rest, w.err = p, nil
	err := w.socket.Write(w.step)
	w.rest = nil
	if err != nil {
		return err
	}
	return w.err
}

// writeNow writes what the socket takes at once and returns how much that is. An error is left for the next write to find.
func (w *descriptorWriter) writeNow(p []byte) (written int) {
	w.rest = p
	_ = w.socket.Control(func(fd uintptr) { w.writeSome(fd) })
	written = len(p) - len(w.rest)
	w.rest = nil
	return written
}

// writeSome writes until nothing is left or the socket is full.
func (w *descriptorWriter) writeSome(fd uintptr) bool {
	for len(w.rest) > 0 {
		n, err := socket.Write(fd, w.rest)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return false
		case err != nil:
			w.err = err
			return true
		case n <= 0:
			w.err = io.ErrUnexpectedEOF
			return true
		default:
			w.rest = w.rest[n:]
		}
	}
	return true
}
