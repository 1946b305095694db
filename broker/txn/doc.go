// Package txn is the transaction coordinator: which producer may write under a transactional id, which partitions its
// transaction has, and how it ends.
//
//	Service (blocks, one method per API) --> coordinator.Runtime --> shard.Step --> records, replies
//	                                                              `-> shard.Replay <-- records, live and at load
//	a decision is committed --> Markers --> WriteTxnMarkers to the leader of each partition --> shard: it is complete
//
// It owns: what InitProducerId with a transactional id, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn, ListTransactions and
// DescribeTransactions mean, timeouts, expiry, the records of __transaction_state (DESIGN.md has the bytes), and the sending
// of markers. It does not own: the log, the loop and the waiting (package coordinator), who may do what and which topics
// exist (package api), producer ids and the brokers that markers go to (package broker), what a marker does to a partition
// (package log).
//
// A transaction is a value, state, and every decision a function of it: it gives the next value, or an error. The shard keeps
// the values, changes them in Replay only, and remembers who waits for a completion.
//
//	Empty --------------> Ongoing --> PrepareCommit --> CompleteCommit --> Ongoing, or Empty for a new producer
//	  ^                      |                                               (as after CompleteAbort)
//	  `-- InitProducerId     `-----> PrepareAbort ----> CompleteAbort
//
// Invariants:
//   - a transaction that was prepared is never decided otherwise, whoever coordinates it;
//   - no marker is sent before its decision is committed, and none under a coordinator epoch that was not won;
//   - a transaction is complete only after every partition that still exists has its marker;
//   - an epoch that was given to a producer is given to no other;
//   - the state that a new coordinator reads is the state that the old one answered from.
//
// Kafka's counterparts: TransactionCoordinator, TransactionMetadata, TransactionStateManager, TransactionMarkerChannelManager.
// KIPs: 98 (transactions), 360 (recovery of producers), 588 (fencing), 664 (listing), 890 (version 2).
package txn
