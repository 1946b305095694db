// Package verify asks the coordinator of a transaction whether partitions belong to it, before the first records of the
// transaction are written to them; for producers of transaction version 2 the same question adds the partitions (KIP-890).
//
//	Ask --> of this node: answered here
//	   `--> queue of the coordinator's node --> one AddPartitionsToTxn for all that wait --> answers
//
// It owns the gathering: one request is under way to a node, and what comes meanwhile goes with the next one. It does not
// own who coordinates what, how a node is reached, or what the answer means for a batch (packages broker and api).
//
// Invariants:
//   - every question gets one code for each of its partitions, or the end of its context;
//   - a transactional id is in a request at most once, with the latest epoch that asked;
//   - a goroutine exists for a node only while something waits for it, and Close joins it;
//   - an outcome that is not known is NETWORK_EXCEPTION, which lets the producer try again.
//
// Kafka's counterpart is AddPartitionsToTxnManager.
package verify
