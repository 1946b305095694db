// Package clients runs every promised client against Millrace, feature by feature, and prints one table.
//
// It owns: the matrix (clients, features, what a client itself lacks), the drivers of drivers/, and the referee that
// checks on the broker's side what a client claims. It does not own starting servers (package harness).
//
//	matrix cell = client × feature ──> driver FEATURE --bootstrap A --topic T ──> exit code ──> referee ──> pass or fail
//
// Invariants:
//   - a cell is pass or fail; "n/a" only where the client has no such function, with the reason;
//   - each cell has a topic and a group of its own, so cells neither order nor disturb each other.
package clients
