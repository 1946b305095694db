// Package server is the Kafka listener: it accepts connections, cuts the byte stream into frames, hands each request to
// the connection's session in order, and writes the answers in the same order.
//
// It owns sockets, read and write buffers, connection limits, and the start and the end of connections. It does not know
// any Kafka API: requests are handled by a Session, which package api provides.
//
// One goroutine per connection runs to completion:
//
//	socket -> read buffer -> every complete frame -> Session.Handle ... Session.Settle -> one write -> socket
//	            (one read)        (a burst)                  (answers in request order)
//
// Invariants:
//   - answers leave in the order of the requests;
//   - nothing is allocated by a length that a client claimed: buffers grow as bytes arrive;
//   - a connection that waits for bytes holds no buffer;
//   - a panic in a handler ends that connection and nothing else.
//
// Kafka: kafka.network.SocketServer. DESIGN.md says how buffers and closing work.
package server
