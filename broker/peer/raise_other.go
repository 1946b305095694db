//go:build !linux

package peer

import (
	"io"
	"net"
)

// raise does nothing: in which order a kernel closes what a process leaves behind is known of Linux alone.
func raise(conn *net.TCPConn) io.ReadCloser { return conn }
