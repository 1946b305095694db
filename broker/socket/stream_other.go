//go:build !unix

package socket

import "net"

// Stream is a connection; its bytes go past Go's scheduler on Unix only.
type Stream struct{ net.Conn }

// NewStream makes a stream of a connection.
func NewStream(conn net.Conn) *Stream { return &Stream{conn} }
