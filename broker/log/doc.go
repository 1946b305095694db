// Package log keeps the log of one partition on disk: append, read, truncate, recover, retain.
//
// It owns the files of a log directory: Kafka's layout, so that Kafka's tools read it.
//
//	logs/                                  a Dir
//	  meta.properties  .lock  .kafka_cleanshutdown  .incarnation
//	  recovery-point-offset-checkpoint  log-start-offset-checkpoint  replication-offset-checkpoint
//	  orders-0/                            a Log; made by the first append
//	    partition.metadata  leader-epoch-checkpoint
//	    00000000000000000000.log .index .timeindex .txnindex
//	    00000000000000004711.log           the active segment
//	    00000000000000004711.snapshot      producers as of offset 4711
//
// It does not own what a record means (broker/record), who may append or what is committed (broker/replica), nor when
// retention runs.
//
// Offsets of a log, in the order that always holds:
//
//	logStartOffset <= recovery point on disk <= flushedOffset <= logEndOffset
//
// Invariants:
//   - what lies below the flushed offset is on disk, names included, and survives any crash;
//   - the recovery point in the checkpoint file never passes the flushed offset, and nothing below it is ever cut:
//     a bad byte there is a *CorruptError and takes the partition offline;
//   - batches lie in offset order without overlap; above the recovery point also without a gap between segments;
//   - a refused append makes the Dir full until it is shown to have room again; appends are tried all the same;
//   - after the first failed fsync or write (except a full disk) the Dir is offline for good.
package log
