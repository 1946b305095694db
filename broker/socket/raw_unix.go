//go:build unix

package socket

import (
	"net"
	"syscall"
)

// Raw returns the way to the descriptor of a TCP connection, nil for any other.
func Raw(conn net.Conn) syscall.RawConn {
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
