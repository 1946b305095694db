// Package scrub reads what nobody reads: the sealed segments of all logs, slowly, and finds bytes that have changed on disk
// since they were written. It owns the pace and what was found; how a damaged segment is made whole is its caller's.
//
//	every millrace.scrub.interval.ms: each directory, each log, each sealed segment below the recovery point on disk
//	    batch by batch: header possible? offsets follow? checksum right?       no -> Damage -> repair, or it stays reported
//
// A damaged batch is reported by a log line, by millrace_log_damaged_partitions and by the node's health. It is never cut
// and takes no partition offline: a client that reads it finds the wrong checksum itself, and other batches are whole.
//
// Invariants:
//   - nothing is read faster than millrace.scrub.bytes.per.second, over all directories together;
//   - a segment that left the log while it was read is no damage.
package scrub
