// Package raft keeps the metadata log: a hashicorp/raft node with its stores, behind a latch that refuses everything after
// the first storage error.
//
//	Propose -> hashicorp/raft -> store (bbolt, behind the latch) -> StateMachine.Apply, on every voter
//
// It owns the directory of the metadata log (DESIGN.md draws its files), members and their places, elections, snapshots and
// the truncation of the log. It does not own connections (Streams), nor how a node finds its cluster (metadata/join), nor
// what the entries say: the state machine is the caller's.
//
// Invariants: an entry is applied once, in order; nothing is acknowledged that is not on disk (in memory for an
// in-memory quorum); after the first storage error nothing is acknowledged at all, and Failed tells the caller to stop
// the process. A node that is alone elects itself without waiting for a timeout and opens no port. A member is a node with a
// directory: an empty disk never votes in the name of a lost one. KIP-595, KIP-853.
package raft
