// Package isr decides for one partition which replicas are in sync, how far records are committed, and where a follower
// cuts its log. It is pure: values in, values out; no I/O, goroutine, clock, lock or logger. The shell around it is package
// replica; e2e/sim drives it without that shell.
//
//	              Lead                                             Follow
//	image ──────> Leader                          leader's answer ─> Follower
//	 Update         │  Fetched (a follower holds this much)           │  Told      (high watermark, log start)
//	 own disk ────> │  Held    (this replica holds this much)         │  Cut       (diverging epoch -> where to truncate)
//	 clock ───────> │  Tick    (who lags)                             │  OutOfRange (cut, restart or go on)
//	                ├─> Propose: the in-sync set that the controller is asked for
//	 controller ──> │  Answered
//	                └─> HighWatermark
//
// A replica *holds* an offset when everything below it is as durable as the topic asks for: flushed, or with write caching
// appended. What a follower asks for next is what it holds; what the leader holds it says by Held.
//
// The committed in-sync set is what the image or the controller's answer said last. The maximal set is that and whoever a
// proposal under way would add. A proposal whose outcome is not known stays until the controller or the image says more.
//
// Invariants:
//   - the high watermark of a Leader never goes back, and never passes what any replica of the maximal set holds;
//   - it stands still while the committed set is smaller than min.insync.replicas, or than all replicas if those are fewer
//     (KIP-966);
//   - one proposal is under way at a time; nobody leaves the maximal set before the controller has said so;
//   - nobody is proposed who has not reached the high watermark and the start of the leader's epoch, or who fetches as
//     another start of its broker than the one that the image knows as active;
//   - a follower's high watermark goes back only when its log is cut below it, which takes an unclean election.
//
// Kafka: kafka.cluster.Partition, PartitionState, Replica, kafka.server.AbstractFetcherThread. KIP-101, KIP-279, KIP-497,
// KIP-841, KIP-903, KIP-966.
package isr
