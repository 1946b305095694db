// Package vfs is the port to files: what the broker asks of a file system, and no more.
//
// It owns three implementations and one habit: OS (the operating system's files), Memory (files in memory that know
// what a crash may take), NewFaulty (a wrapper that fails operations on request) and WriteFileAtomic. It does not own
// any format or any retry: errors go up as they are. It imports nothing of ours.
//
// What is durable when (Memory holds writers to it, OS is trusted for it):
//
//	bytes and size of a file     after File.Sync, or Volume.Sync
//	a name (create, rename,
//	remove, mkdir)               after SyncDir of its directory, or Volume.Sync; each parent likewise
//	everything else              may be there, or not, or a part of it: in pages of 4 KiB, cut at any byte
//
// Invariants:
//   - A byte that was synced and not written over since survives every crash; so does a synced name.
//   - A rename is seen whole or not at all; a change of a name survives only if earlier changes of that name did.
//   - After a failed Sync the bytes since the last good one may be lost although a later Sync succeeds, as on Linux.
//
// The conformance suite in conformance_test.go runs on OS and Memory.
package vfs
