package planted

// Fault is a bug to plant, told apart by what it breaks. The anomaly that shows it is that of e2e/chaos/checker.
type Fault uint8

// The faults.
const (
	None                  Fault = iota
	ForgetsBatches              // a leader acknowledges batches and does not write them: lost-write
	HidesActiveSegment          // readers are shown no more than sealed segments: unseen
	AppendsRetries              // answers get lost, and a retry is appended again: duplicate
	FollowsBlindly              // a follower does not cut its log where it parts from its leader's: inconsistent-offset
	CommitsAborted              // the marker of an aborted transaction says that it was committed: G1a
	ListsNoAborted              // a read_committed fetch does not say what was aborted: G1a
	ShowsOpenTransactions       // a read_committed fetch does not stop at the last stable offset: precommitted-read, and G1c
	LeavesOutMiddle             // a fetch leaves out a batch between others: int-poll-skip
	LeavesOutFirst              // a fetch leaves out the batch that it asks for: poll-skip
	GoesBack                    // a fetch begins before the offset that it asks for: nonmonotonic-poll
	TurnsRound                  // the batches of an answer are in the wrong order: int-nonmonotonic-poll
	ExchangesBatches            // two batches of a producer are written in the wrong order: nonmonotonic-send
	AnswersZero                 // an acknowledgement names offset 0: spurious-zero
	TearsTransactions           // a committed transaction is aborted on some of its partitions: torn
	last
)
