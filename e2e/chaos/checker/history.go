package checker

import (
	"fmt"
	"time"
)

// Key is one partition, by a number of the caller's.
type Key int32

// Value identifies one record for ever: the Sequence-th that a process sent.
type Value struct {
	Process  int32
	Sequence int32
}

func (v Value) String() string { return fmt.Sprintf("%d/%d", v.Process, v.Sequence) }

// ParseValue reads what Value.String wrote; anything may follow behind a space.
func ParseValue(s string) (v Value, err error) {
	if _, err := fmt.Sscanf(s, "%d/%d", &v.Process, &v.Sequence); err != nil {
		return v, fmt.Errorf("record value %.40q was not written by a load: %w", s, err)
	}
	return v, nil
}

// Kind is what an Op asks for.
type Kind uint8

// The kinds of operations.
const (
	Produce   Kind = iota // Steps of sends, or a transaction of sends and polls
	Poll                  // Steps of reads
	Assign                // the process reads from now on what it chose
	Subscribe             // the process reads from now on what its group gives it
	Commit                // Steps: the offsets that a group is to remember
	Committed             // Steps: the offsets that a group remembers
	Ends                  // Steps: the high watermarks that ListOffsets answered
	Starts                // Steps: the log start offsets that ListOffsets answered
)

// Outcome is what became of an Op.
type Outcome uint8

// The outcomes. An Op that was never answered stays Info.
const (
	Info Outcome = iota // nobody knows
	OK
	Fail // it provably never happened
)

func (o Outcome) String() string { return [...]string{"info", "ok", "fail"}[o] }

// NoOffset is the offset of a record that nobody was told of, and NoEpoch an unknown leader epoch.
const (
	NoOffset = -1
	NoEpoch  = -1
)

// Step is one part of an Op: a record sent or read, or an offset named.
type Step struct {
	Read   bool // in a Produce or Poll: read, not sent
	Key    Key
	Value  Value
	Offset int64
	Epoch  int32 // leader epoch of a record that was read; NoEpoch when unknown
}

// Op is one thing that a client asked for. Times are since the start of the history.
type Op struct {
	Process  int32 // a client; a crashed client comes back as another
	Kind     Kind
	Outcome  Outcome
	Invoked  time.Duration
	Returned time.Duration // 0: never
	Steps    []Step

	// Of a transaction: when its end was asked for. Reads of its values before are a fault.
	Transaction bool
	EndInvoked  time.Duration // 0: never

	Group      string // of Commit, Committed, Subscribe
	Generation int32
	Rebalanced bool // of a Poll: partitions came or went within it
	Error      string
}

func (o *Op) String() string {
	s := fmt.Sprintf("process %d %v at %v..%v", o.Process, o.Outcome, o.Invoked.Round(time.Microsecond), o.Returned.Round(time.Microsecond))
	if o.Error != "" {
		s += " (" + o.Error + ")"
	}
	return s
}

// Client says what may be expected of a process; the zero value expects most.
type Client struct {
	AtLeastOnce bool // its retries may write a record twice or change the order
	Uncommitted bool // it reads what open and aborted transactions wrote
	Grouped     bool // its partitions come and go
}

// History is all that clients did, each process's operations in the order of their invocation.
type History struct {
	Ops     []Op
	Clients map[int32]Client
	// Final says that everything was read from the start to the end after the last write.
	Final bool
	// LogStart is where a partition begins after retention or DeleteRecords; what lies before may be missing.
	LogStart map[Key]int64
	// Writes tells the window in which gaps of Availability are sought.
	From, To time.Duration
}
