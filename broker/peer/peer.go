package peer

import (
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Purpose is what a connection is for.
type Purpose byte

// The purposes, by their byte in the handshake.
const (
	PurposeKafka Purpose = 1 // Kafka requests between brokers
	PurposeRaft  Purpose = 2 // a stream of the metadata quorum
	PurposeJoin  Purpose = 3 // a question of a node that is no member yet, or does not know whether it is
)

// Identity names one end of a connection.
type Identity struct {
	ClusterID   string // "": not known yet; only PurposeJoin may say so
	NodeID      int32  // -1 at the other end: whoever answers there
	DirectoryID [16]byte
}

// Config says what both sides need. Fixed after New.
type Config struct {
	Identity func() Identity // of this node; the cluster id may become known later
	Token    string          // shared by the nodes of the cluster
	// HandshakeTimeout bounds both directions; default 5 s.
	HandshakeTimeout time.Duration
	// Dial opens a connection to an address; default net.Dialer. Replaced by e2e/sim and tests.
	Dial       func(network, address string, timeout time.Duration) (net.Conn, error)
	Logger     *slog.Logger
	Registerer prometheus.Registerer // optional
}

// Errors of a handshake.
var (
	// ErrRefused says that the other end is there and does not want this connection; the reason is in the message.
	ErrRefused = errors.New("the other broker refused the connection")
	// ErrOutcomeUnknown says that a request was sent and its answer did not come.
	ErrOutcomeUnknown = errors.New("the request was sent, its answer did not come")
)
