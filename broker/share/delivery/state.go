package delivery

import "time"

// State of a record, by Kafka's number in records and requests.
type State int8

// The states.
const (
	Available    State = 0
	Acquired     State = 1
	Acknowledged State = 2
	Archived     State = 4
)

// Through reports that a record will never be delivered again.
func (s State) Through() bool { return s == Acknowledged || s == Archived }

// String names the state.
func (s State) String() string {
	switch s {
	case Available:
		return "available"
	case Acquired:
		return "acquired"
	case Acknowledged:
		return "acknowledged"
	default:
		return "archived"
	}
}

// Type is what a consumer says of a record, by Kafka's number (AcknowledgeType; 0 says that there is no such record).
type Type int8

// The types of acknowledgement.
const (
	Gap     Type = 0
	Accept  Type = 1
	Release Type = 2
	Reject  Type = 3
	Renew   Type = 4
)

// Batch is a run of records in one state, as it is written and read.
type Batch struct {
	First, Last int64
	State       State
	Count       int16 // deliveries
}

// run is a stretch of the window whose records are all alike.
type run struct {
	first, last int64
	state       State
	count       int16     // deliveries
	holder      string    // of an acquired run
	until       time.Time // when the holder's lock is over

	decision decision // what its holder said
	next     State    // with a decision: what it becomes
	unsaved  bool     // what the state is was not written yet
}

// decision is how far a member's acknowledgement of a run is.
type decision int8

const (
	undecided decision = iota
	queued             // the next write takes it
	writing            // a write is under way
)

// alike reports whether the run that follows could be the same run.
func (r *run) alike(o *run) bool {
	return r.state == o.state && r.count == o.count && r.holder == o.holder && r.until.Equal(o.until) &&
		r.decision == o.decision && r.next == o.next && r.unsaved == o.unsaved
}

func (r *run) free() bool { return r.state == Available }

func (r *run) heldBy(member string) bool {
	return r.state == Acquired && r.decision == undecided && r.holder == member
}

// settle ends a hold.
func (r *run) settle(to State, count int16, unsaved bool) {
	r.state, r.count, r.holder, r.until, r.decision, r.next, r.unsaved = to, count, "", time.Time{}, undecided, 0, unsaved
}

// length is the number of offsets.
func (r *run) length() int64 { return r.last - r.first + 1 }
