package api

import "github.com/millrace-io/millrace/broker/server"

// isInternal reports whether the peer is a broker of this cluster. Only the handshake of broker/peer lets anybody onto
// that listener.
func (s *Services) isInternal(peer *server.Peer) bool {
	return s.InternalListener != "" && peer.Listener == s.InternalListener
}
