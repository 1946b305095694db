// Package replica holds the partitions of this broker: who leads them, what of them is committed, and who waits for it.
//
// It owns the partition's leadership, its high watermark, the list of those who wait (produce with acks=all until a
// record is committed, fetch until bytes arrive), the choice of a log directory for a new partition, and the sweep that
// applies retention. Bytes, offsets and files belong to package log; which partitions exist is told by the metadata
// image, delta by delta.
//
//	image delta -> Manager.Apply -> Partition (leader, epoch, ISR)
//	Append -> log.Append -> flush -> high watermark -> waiters
//
// The high watermark of a partition is the smallest offset that its in-sync replicas hold: durably, or with
// write.caching=true in memory. Here the only replica is this one.
//
// Invariants:
//   - the high watermark never goes back and never passes the log end offset;
//   - without write caching it never passes what is flushed;
//   - no lock is held while a log reads or writes.
//
// Kafka: kafka.server.ReplicaManager, kafka.cluster.Partition.
package replica
