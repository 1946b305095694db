// Package delivery decides what becomes of each record of one partition in one share group (KIP-932).
//
//	            acquire                     accept
//	Available ----------> Acquired ----------------------> Acknowledged --.
//	    ^                  |  |  `- reject, gap,                          |  the start moves past
//	    `------------------'  |     delivered too often -> Archived ------+-> both
//	     release, lock over   `- renew: a new lock
//
// It owns the window [start, end): below start everything is through, from end on nothing was delivered yet. It does not
// own reading records, writing state, time or waiting: that is package share. It is pure: no I/O, clock or goroutine.
//
// Invariants:
//   - runs cover the window without holes, in order;
//   - a record has at most one holder;
//   - what a member acknowledged counts only once it is written (Take, Settle); until then nobody else can have it, and
//     when the write fails the member holds it as before;
//   - a record that was delivered as often as is allowed is archived instead of becoming available;
//   - nothing new is acquired while the window is as long as the limit; a batch that begins within it is taken whole.
//
// Kafka's counterparts: SharePartition, InFlightBatch, InFlightState.
package delivery
