package checker

import (
	"fmt"
	"slices"
	"strings"
)

// The names of anomalies. The first group comes from Jepsen's Kafka workload.
const (
	LostWrite           = "lost-write"          // acknowledged, below something that was read, never read
	Unseen              = "unseen"              // acknowledged, never read by the end
	Duplicate           = "duplicate"           // one value at two offsets
	InconsistentOffset  = "inconsistent-offset" // one offset held two values
	AbortedRead         = "G1a"                 // a value whose write definitely failed or was aborted was read
	Phantom             = "phantom"             // a value that nobody sent was read
	PrecommittedRead    = "precommitted-read"   // a value was read before its transaction's end was asked for
	IntPollSkip         = "int-poll-skip"       // one poll left out a record
	IntNonmonotonicPoll = "int-nonmonotonic-poll"
	IntNonmonotonicSend = "int-nonmonotonic-send"
	PollSkip            = "poll-skip" // a record was left out between two polls
	NonmonotonicPoll    = "nonmonotonic-poll"
	NonmonotonicSend    = "nonmonotonic-send"
	SpuriousZero        = "spurious-zero" // acknowledged at offset 0, and lies elsewhere
	Torn                = "torn"          // a part of a committed transaction was read, another never
	G1c                 = "G1c"           // transactions that read from each other in a circle

	NonmonotonicEpoch  = "nonmonotonic-epoch"  // leader epochs fall along a log, or one offset has two
	NonmonotonicEnd    = "nonmonotonic-end"    // the high watermark went back for a reader
	NonmonotonicStart  = "nonmonotonic-start"  // the log start went back for a reader
	NonmonotonicCommit = "nonmonotonic-commit" // a group's remembered offset went back
	LostCommit         = "lost-commit"         // an acknowledged commit was not remembered
	TwoOwners          = "two-owners"          // one partition had two owners in one generation
)

// witnessesShown bounds how many anomalies of a name are kept with their surroundings; all are counted.
const witnessesShown = 8

// Anomaly is one broken promise and what lies around it.
type Anomaly struct {
	Name   string
	Key    Key
	What   string
	Around []string // the log from three offsets before to three behind
}

func (a Anomaly) String() string {
	s := a.Name + ": " + a.What
	if len(a.Around) > 0 {
		s += "\n    " + strings.Join(a.Around, "\n    ")
	}
	return s
}

// Report is the verdict on a history.
type Report struct {
	Counts    map[string]int // of anomalies that fail, by name
	Anomalies []Anomaly      // the first few of each name
	Notes     map[string]int // what is permitted and still worth a look, by name
	Sent      int            // records
	Acked     int
	Read      int // different records
	Gaps      map[Key]Gap
}

// Failed reports whether any promise was broken.
func (r *Report) Failed() bool { return len(r.Counts) > 0 }

// Names lists the anomalies found, in order.
func (r *Report) Names() []string {
	names := make([]string, 0, len(r.Counts))
	for name := range r.Counts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d records sent, %d acknowledged, %d read", r.Sent, r.Acked, r.Read)
	for _, name := range r.Names() {
		fmt.Fprintf(&b, "; %d %s", r.Counts[name], name)
	}
	for _, a := range r.Anomalies {
		fmt.Fprintf(&b, "\n  %v", a)
	}
	return b.String()
}

func (c *check) found(name string, key Key, offset int64, format string, args ...any) {
	if c.report.Counts[name]++; c.report.Counts[name] > witnessesShown {
		return
	}
	a := Anomaly{Name: name, Key: key, What: fmt.Sprintf(format, args...)}
	if l := c.logs[key]; l != nil && offset != NoOffset {
		a.Around = l.around(offset)
	}
	c.report.Anomalies = append(c.report.Anomalies, a)
}

func (c *check) note(name string) { c.report.Notes[name]++ }
