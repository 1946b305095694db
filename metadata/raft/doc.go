// Package raft keeps the metadata log: a hashicorp/raft node with its stores, behind a latch that refuses everything after
// the first storage error.
//
//	Propose -> hashicorp/raft -> store (bbolt, behind the latch) -> StateMachine.Apply, on every voter
//
// It owns the directory of the metadata log (DESIGN.md draws its files), elections, snapshots and the truncation of the
// log. It does not know what the entries say: the state machine is the caller's.
//
// Invariants: an entry is applied once, in order; nothing is acknowledged that is not on disk (in memory for an
// in-memory quorum); after the first storage error nothing is acknowledged at all, and Failed tells the caller to stop
// the process. A quorum of one voter elects itself without waiting for a timeout and opens no port.
package raft
