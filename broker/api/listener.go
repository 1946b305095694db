package api

import (
	"strings"

	"github.com/millrace-io/millrace/broker/server"
)

// isInternal reports whether the peer is a broker of this cluster: it came by the listener between brokers, whose handshake
// (broker/peer) has said which one it is.
func (s *Services) isInternal(peer *server.Peer) bool {
	return s.InternalListener != "" && peer.Listener == s.InternalListener && strings.HasPrefix(peer.Identity.Principal, brokerPrincipalPrefix)
}

// speaksFor holds that a broker speaks in its own name only.
func speaksFor(c *Call, brokerID int32) bool {
	return c.Identity.Principal == BrokerPrincipal(brokerID)
}
