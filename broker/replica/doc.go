// Package replica holds the partitions of this broker: who leads them, what of them is committed, who waits for it, and how
// followers get their records.
//
// It owns the role of each partition (leader, or follower of somebody), its high watermark, the list of those who wait
// (produce with acks=all until a record is committed, fetch until bytes arrive), the fetchers of this broker as a follower
// and the sessions of those who follow it, the question whether they still do (doubt.go, confirm.go), proposals of in-sync
// sets to the controller, the choice of a log directory for a new partition, and the sweep that applies retention. Bytes,
// offsets and files belong to package log; what is decided about in-sync sets, watermarks and truncation to package isr;
// which partitions exist is told by the metadata image, delta by delta.
//
//	image delta -> Manager.Apply -> Partition.assume (leader | follower of a leader epoch)
//
//	leader    Append -> log -> flush ──> isr.Leader ──> high watermark -> waiters
//	             └─> FollowerSession      ↑    └─> proposer -> controller
//	                    ↑ news            │ what a follower holds
//	                    └── Fetch ────────┘
//	follower  fetcher: Fetch -> check -> AppendAsFollower -> one flush for all -> Fetch
//
// A round of a fetcher costs what is new: its session on the leader keeps a queue of partitions with news, and the request
// names only those whose offset has changed. A change of what is fetched interrupts the wait at the leader.
//
// Invariants:
//   - the high watermark of a leadership never goes back, and never passes what the in-sync replicas hold (package isr);
//   - records that were appended in one leadership are never acknowledged by a later one;
//   - an append or a truncation by one role has ended before the next role begins;
//   - a follower asks only beyond what it has flushed, unless the topic is write-cached;
//   - what a leader sends is appended only when its checksum is right and its epoch is not later than the one followed;
//   - no lock but a partition's role is held while a log reads or writes.
//
// Kafka: kafka.server.ReplicaManager, kafka.cluster.Partition, ReplicaFetcherManager, AlterPartitionManager. KIP-227, KIP-392,
// KIP-497, KIP-966.
package replica
