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
	PurposeKafka    Purpose = 1 // Kafka requests between brokers
	PurposeRaft     Purpose = 2 // a stream of the metadata quorum
	PurposeJoin     Purpose = 3 // a question of a node that is no member yet, or does not know whether it is
	PurposeLifeline Purpose = 4 // nothing: its end is what it tells
)

func (p Purpose) String() string {
	switch p {
	case PurposeKafka:
		return "kafka"
	case PurposeRaft:
		return "raft"
	case PurposeJoin:
		return "join"
	case PurposeLifeline:
		return "lifeline"
	}
	return "unknown"
}

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
	Dial func(network, address string, timeout time.Duration) (net.Conn, error)
	// Stranger, if set, is called when the node at an address that was dialled turns out to have another token.
	Stranger   func(address string)
	Logger     *slog.Logger
	Registerer prometheus.Registerer // optional
}

// Errors of a handshake and of requests.
var (
	// ErrRefused says that the other end is there and does not want this connection; the reason is in the message.
	ErrRefused = errors.New("the other broker refused the connection")
	// errToken is why, when the two ends do not have the same token.
	errToken = errors.New("the token is not that of this cluster")
	// ErrOutcomeUnknown says that a request was sent and its answer did not come.
	ErrOutcomeUnknown = errors.New("the request was sent, its answer did not come")
	// ErrUnknownNode says that nobody knows where a node is, or that it is no member.
	ErrUnknownNode = errors.New("the address of the broker is not known")
	// ErrClosed says that this side was closed.
	ErrClosed = errors.New("the connections to other brokers are closed")
)

// otherCluster is why, when the two ends belong to different clusters; a caller knows it by its method.
type otherCluster string

func (e otherCluster) Error() string      { return string(e) }
func (e otherCluster) OtherCluster() bool { return true }

const (
	defaultHandshakeTimeout = 5 * time.Second
	tellAgain               = 10 * time.Second // between two lines about the same refusal

	maxClusterIDBytes    = 64
	maxReasonBytes       = 255
	maxPendingHandshakes = 128     // that have not finished; those above are closed at once
	maxRemembered        = 4096    // accepted connections whose other end Mux.Peer still knows
	maxInFlight          = 64      // requests of one shared connection that wait for their answer
	maxAnswerBytes       = 1 << 30 // as for any Kafka answer: an int32, and nobody asks for more
	readBufferBytes      = 16 << 10
)

func (c Config) withDefaults() Config {
	if c.HandshakeTimeout == 0 {
		c.HandshakeTimeout = defaultHandshakeTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
