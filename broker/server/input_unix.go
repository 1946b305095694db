//go:build unix

package server

import (
	"syscall"

	"github.com/millrace-io/millrace/broker/socket"
)

// readDescriptor reads once; when nothing is there it gives the buffer back before the runtime's poller waits, so that an
// idle connection holds none.
func (in *input) readDescriptor(fd uintptr) bool {
	if in.buf == nil {
		in.take()
	}
	for {
		n, err := socket.Read(fd, in.buf[in.end:])
		switch err {
		case nil:
			in.n, in.err = n, nil
			return true
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			in.rest()
			return false
		default:
			in.n, in.err = 0, err
			return true
		}
	}
}

// hungUp reports whether the peer has closed its side and nothing is left to read.
func hungUp(raw syscall.RawConn) bool {
	gone := false
	_ = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		gone = err == nil && n == 0 || err == syscall.ECONNRESET
	})
	return gone
}
