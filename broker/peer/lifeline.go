package peer

import (
	"context"
	"io"
	"net"

	"github.com/millrace-io/millrace/broker/socket"
)

// A lifeline is a connection on which nothing is said. It tells by its end that the process which dialled it has ended, and
// before that process's clients can know: the kernel cuts it first.
//
// A process that is killed has its descriptors closed one by one. Linux takes the highest first (what close does at the end of
// a process is put on a list that is worked off from its end), and a server's clients, which came after its connections to
// other brokers, would see the end up to a tenth of a second before those. So a lifeline is given a descriptor above those
// of clients. Where the order is another it tells no later than any connection would.

// DialLifeline opens this process's lifeline to a node. Read from it returns when the other side, or Close, has ended it.
func DialLifeline(ctx context.Context, cfg Config, nodeID int32, address string) (io.ReadCloser, error) {
	conn, _, err := DialPurpose(ctx, cfg, PurposeLifeline, Identity{NodeID: nodeID}, address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		return raise(tcp), nil
	}
	return conn, nil
}

// Lost reports whether the process at the other end of a lifeline has ended, as far as this kernel has heard.
func Lost(lifeline net.Conn) bool { return socket.Ended(lifeline) }

// AwaitLost returns when a lifeline that was accepted has ended or was closed, or is none: somebody says something.
func AwaitLost(lifeline net.Conn) {
	_, _ = lifeline.Read(make([]byte, 1))
}
