// Package metadata is this node's share in the cluster's metadata: it takes requests for changes, puts them into the
// metadata log, keeps the newest image and tells subscribers what changed.
//
//	request -> controller (pure) -> command.Group -> raft -> machine: image + changes -> publisher -> subscribers
//
//	heartbeat -> sessions (memory of the controller) --only a change of state--> controller -> ...
//
// It owns the proposer and the publisher and, where there are other nodes, how this one finds its cluster and answers
// theirs, and what the controller does unasked: one goroutine tends brokers (sessions, leaderships that go back by time),
// another moves replicas (drain, balance). Rules are in controller, records in command, the value in image, settings in
// config, the log in raft.
//
// Invariants: the image moves only by committed entries of the log; subscribers see every change once and in order; a
// request that was carried out is visible to every subscriber of this node before its answer is given; a request whose
// outcome is not known is answered with a retriable error, never with a definite failure. KIP-500, KIP-595.
package metadata
