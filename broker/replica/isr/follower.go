package isr

// Follower is one following: of one partition in one leader epoch. Its owner calls it from one goroutine at a time.
type Follower struct {
	Epoch         int32
	HighWatermark int64 // as far as this replica knows; at most its log end
}

// Told takes in what an answer says, after its records were appended and the log ends at logEnd: how far records are
// committed and where the leader's log begins. It returns the high watermark and where this log may begin.
//
// Invariant: the log start offset never passes the high watermark.
func (f *Follower) Told(highWatermark, logStart, logEnd int64) (newHighWatermark, newLogStart int64) {
	f.HighWatermark = max(f.HighWatermark, min(highWatermark, logEnd))
	return f.HighWatermark, min(logStart, f.HighWatermark)
}

// Truncated says that the log was cut, or begins anew, and ends at logEnd.
func (f *Follower) Truncated(logEnd int64) { f.HighWatermark = min(f.HighWatermark, logEnd) }

// EpochEnd is where the records of an epoch end in a log: Epoch is the largest one with records that is not above the one
// asked for, -1 when there is none.
type EpochEnd struct {
	Epoch     int32
	EndOffset int64
}

// Cut returns where a follower's log must end, from what the leader said of the follower's last epoch and what the
// follower's own log says of the epoch in that answer. Fetching goes on from there; where the logs still differ the
// leader says so again, with a smaller epoch each time, so that it comes to an end. Kafka:
// AbstractFetcherThread.getOffsetTruncationState (KIP-279).
func Cut(leader, own EpochEnd, logEnd int64) int64 {
	switch {
	case own.Epoch == unknown || leader.Epoch == unknown:
		return min(leader.EndOffset, logEnd)
	case own.Epoch == leader.Epoch:
		return min(own.EndOffset, leader.EndOffset, logEnd)
	}
	return min(own.EndOffset, logEnd) // the follower never had that epoch: what it has of later ones goes
}

// Reset is what a follower does whose fetch offset lies outside of the leader's log.
type Reset struct {
	Restart  bool // empty the log and begin it at Offset
	Truncate bool // end it at Offset
	Offset   int64
}

// OutOfRange decides it from where both logs begin and end. Kafka: AbstractFetcherThread.fetchOffsetAndApplyFun.
func OutOfRange(logEnd, leaderStart, leaderEnd int64) Reset {
	switch {
	case leaderEnd < logEnd:
		return Reset{Truncate: true, Offset: leaderEnd}
	case leaderStart > logEnd:
		return Reset{Restart: true, Offset: leaderStart}
	}
	return Reset{Offset: logEnd} // the leader's log has moved meanwhile
}
