// Package peer is the connections between the brokers of a cluster: one listener for all of them, a handshake that
// checks who is at both ends, and pooled connections on which Kafka requests are sent.
//
//	dial -> handshake (cluster id, node id, directory id, token) -> raft stream | Kafka requests | one join question | lifeline
//
// It owns the handshake (broker/CLUSTER.md draws it), the listener that hands each accepted connection to its purpose,
// and the client side of Kafka requests between brokers. It does not own what is asked, nor who may ask: the Kafka
// connections are served by broker/server and broker/api like any others, the Raft streams by metadata/raft. On lifelines
// nothing is said: they tell by their end that a process has ended (lifeline.go).
//
// Invariants: a connection is handed out only after both ends have named the same cluster, node and directory; what is
// handed out by Kafka() is the bare *net.TCPConn with nothing of it read ahead, so that sendfile works on it; a request
// that was written and not answered is reported as an outcome that is not known.
package peer
