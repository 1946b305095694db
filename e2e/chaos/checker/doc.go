// Package checker finds broken promises in a history of what clients of a cluster asked for and were told.
//
// It owns the history (History, Op, Step), the anomalies and their names, and the rules that find them: those of Jepsen's
// Kafka workload, and what else a client of Kafka may count on. It is pure, and takes time in proportion to the history but
// for the sorting of offsets. It does not own where a history comes from.
//
//	Op, in the order of invocation ──> logs: per key, offset -> values ──> rules ──> Report{Anomalies, Notes}
//
// A history is what clients saw and nothing else: a value read by any client at any time proves that it was in the log at that
// offset. An outcome is OK, Fail (it provably never happened) or Info (nobody knows): everything that is not a proof is Info.
//
// Invariants: each anomaly here is found on a history that plants it and only it (checker_test.go); a history without an
// anomaly gives none.
package checker
