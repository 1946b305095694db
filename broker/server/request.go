package server

import (
	"context"
	"net"

	"github.com/millrace-io/millrace/security"
)

// Request is one Kafka request frame after its header was read. Body aliases the connection's read buffer: it is valid
// until the answer to the request was appended to the connection's output.
type Request struct {
	Key           int16
	Version       int16
	CorrelationID int32
	ClientID      string // "" also where the client sent null
	Body          []byte // the frame after the header
	SizeBytes     int    // of the frame, header included
	Flexible      bool   // the request, and so its answer, has tagged fields
}

// Peer is what a handler may know of the connection that a request came from. Its fields are fixed once the connection
// is accepted, except Software, which ApiVersions sets.
type Peer struct {
	Context         context.Context // ends with the connection
	ID              uint64          // unique in this process
	Listener        string          // name of the listener, e.g. "PLAINTEXT"
	Local           net.Addr        // what the client dialled, as this machine sees it
	Remote          net.Addr
	Identity        security.Identity
	Software        string // client software name and version, for `cluster connections` and metrics
	SoftwareVersion string
}
