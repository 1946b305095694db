// Package coordinator runs log-backed state machines: one Shard per partition of an internal topic. The group
// coordinator is the first of them; transactions and share groups use the same runtime.
//
//	request --> queue --> Step --> records --> Replay --> one batch --> Log.Append
//	                        |                                             |
//	                        +--> replies, parked ....... high watermark --+--> answers
//
// It owns: the queue, the loop, batching, parking answers until their records are committed, timers, loading a shard
// when its partition is won and dropping it when it is lost. It does not own what a request means: that is the shard,
// which is pure (no I/O, goroutine, clock or logger). Adapters to the real log are in package broker.
//
// Invariants:
//   - Logged state changes only in Shard.Replay, live and at load.
//   - A reply that tells of records leaves after the high watermark passed them.
//   - Records of a transaction are in batches of their own, pending until its end marker, which comes through the same
//     queue: the shard sees both in the order of the log.
//   - A write that failed leaves no trace in the shard: Append either wrote the whole batch or nothing, and Rollback
//     undoes what Replay did since Begin. An undo journal was chosen over Kafka's timeline structures and over loading
//     the shard again: replayed records live between Replay and Append only, in one goroutine, so the journal is short
//     and empty most of the time; a reload would cost the size of the log for every refused write on a full disk,
//     and would throw away who is waiting.
//   - One goroutine at a time steps a shard, and only while there is work: an idle partition costs its shard's memory.
//
// Kafka's counterpart is CoordinatorRuntime.
package coordinator
