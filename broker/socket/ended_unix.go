//go:build unix

package socket

import (
	"net"
	"syscall"
)

// Ended reports whether the other side has ended a connection from which all was read, whoever waits in Read meanwhile. It
// asks the kernel, which knows before the goroutine runs that waits; false for what is no TCP connection.
func Ended(conn net.Conn) (ended bool) {
	raw := Raw(conn)
	if raw == nil {
		return false
	}
	err := raw.Control(func(fd uintptr) {
		var next [1]byte
		n, _, err := syscall.Recvfrom(int(fd), next[:], syscall.MSG_PEEK) // the descriptor does not block
		ended = err == nil && n == 0 || err != nil && err != syscall.EAGAIN && err != syscall.EINTR
	})
	return ended || err != nil
}
