//go:build unix

package server

import (
	"net"
	"syscall"
)

func rawConn(conn net.Conn) syscall.RawConn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// readDescriptor reads once; when nothing is there it gives the buffer back before the runtime's poller waits, so that an
// idle connection holds none.
func (in *input) readDescriptor(fd uintptr) bool {
	if in.buf == nil {
		in.take()
	}
	for {
		n, err := readSocket(fd, in.buf[in.end:])
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
