package coordinator

import "time"

// Ticket names a request that waits for an answer. A shard may keep it and answer later. 0 is nobody.
type Ticket uint64

// Record is one record of the log: Value nil is a tombstone.
type Record struct{ Key, Value []byte }

// Shard is the state machine of one partition. The runtime calls it from one goroutine at a time.
type Shard interface {
	// Step decides what an event means. It may change what is not in the log (who waits, timers); what is in the log
	// it changes by returning records, which the runtime replays before the next Step.
	// Besides the events given to Submit, a shard sees Tick and Outcome.
	Step(event any, ticket Ticket, now time.Time) Result
	// Replay applies a record, live or at load. An error at load stops the load; live it is a bug of the shard.
	Replay(record Record) error
	// Loaded ends a load: every record was replayed.
	Loaded(now time.Time)
	// Begin starts to keep what Replay changes; Commit forgets it, Rollback undoes it.
	Begin()
	Commit()
	Rollback()
	// NextDeadline says when the shard wants a Tick.
	NextDeadline() (at time.Time, ok bool)
	// Settled is called when a round of events is through, Closed when the shard is dropped: for figures.
	Settled()
	Closed()
}

// Elected is implemented by a shard that wants to know in which leader epoch of its partition it decides. It is told once, after
// Loaded and before the first Step.
type Elected interface{ Elected(leaderEpoch int32) }

// Placed is a Shard that is told where its records lie in the log, live and at load: it knows what of the log can go.
type Placed interface {
	Placed(record Record, offset int64)
}

// Result is what a Step wants done.
type Result struct {
	Records []Record
	// Divisible says that the records may go to the log in several batches when they do not fit one.
	Divisible bool
	// Transaction, if not nil, is what the records are part of: they go into a batch of their own, and the shard, which is
	// a TransactionalShard, sees them as pending.
	Transaction *Transaction
	Replies     []Reply
	// Notes are what an operator wants to read of this in the log of the process.
	Notes []Note
	// Then, if not nil, is stepped again as an Outcome when the records are committed or could not be written.
	Then any
}

// Reply answers a ticket. It leaves when the result's records are committed; where there are none, when everything
// written before is, so that nobody reads what may yet be lost.
type Reply struct {
	Ticket   Ticket
	Response any
	// Now lets the reply go at once: it tells nothing that is in the log.
	Now bool
}

// Note is a line for the log of the process: constant text and slog's keys and values.
type Note struct {
	Message    string
	Attributes []any
}

// Tick is stepped when NextDeadline is reached.
type Tick struct{}

// Outcome is stepped for a Result's Then. Err is nil when the records are committed; otherwise it is what Refusal makes
// of the failure, and the records are undone unless the failure was a timeout.
type Outcome struct {
	Event any
	Err   error
}
