package chaos

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Value identifies one record for ever: the Sequence-th record that Producer sent.
type Value struct {
	Producer int
	Sequence int
}

func (v Value) String() string { return fmt.Sprintf("%d/%d", v.Producer, v.Sequence) }

// ParseValue reads what Value.String wrote.
func ParseValue(s string) (Value, error) {
	var v Value
	if _, err := fmt.Sscanf(s, "%d/%d", &v.Producer, &v.Sequence); err != nil {
		return v, fmt.Errorf("record value %q was not written by this test: %w", s, err)
	}
	return v, nil
}

// Read is one record as a consumer saw it.
type Read struct {
	Partition int32
	Offset    int64
	Value     Value
}

type place struct {
	partition int32
	offset    int64
}

// Ledger notes what producers were told. Safe for concurrent use.
type Ledger struct {
	mu    sync.Mutex
	sent  map[Value]bool
	acked Promises
}

// NewLedger returns an empty ledger.
func NewLedger() *Ledger { return &Ledger{sent: map[Value]bool{}, acked: Promises{}} }

// Sent notes that a record is on its way: from here on it may be in the log, acknowledged or not.
func (l *Ledger) Sent(v Value) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent[v] = true
}

// Acknowledged notes that the broker promised to keep a record at an offset.
func (l *Ledger) Acknowledged(v Value, partition int32, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[v] = place{partition, offset}
}

// Counts returns how many records were sent and how many of them acknowledged.
func (l *Ledger) Counts() (sent, acknowledged int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.sent), len(l.acked)
}

// Promises are records and the places at which the broker said they are.
type Promises map[Value]place

// Promises returns what has been acknowledged so far.
func (l *Ledger) Promises() Promises {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.acked)
}

// Anomaly is one broken promise.
type Anomaly struct {
	Name string // lost, duplicate, inconsistent-offset, moved, out-of-order or phantom
	What string
}

func (a Anomaly) String() string { return a.Name + ": " + a.What }

// Check compares the ledger with everything read from the start of every partition after the faults, by name:
//   - lost: acknowledged and never read
//   - duplicate: one value at two places (only meaningful when the producer is idempotent)
//   - inconsistent-offset: one place held two values over all reads
//   - moved: read at another place than acknowledged
//   - out-of-order: a producer's records of one partition are not in the order in which it sent them
//   - phantom: read and never sent
func (l *Ledger) Check(reads []Read) []Anomaly { return l.CheckPromises(l.Promises(), reads) }

// CheckPromises is Check while producers go on: what was acknowledged after promised was taken need not be read yet.
func (l *Ledger) CheckPromises(promised Promises, reads []Read) []Anomaly {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []Anomaly
	add := func(name, format string, args ...any) {
		found = append(found, Anomaly{name, fmt.Sprintf(format, args...)})
	}
	at := map[place]Value{}
	where := map[Value]place{}
	for _, r := range reads {
		p := place{r.Partition, r.Offset}
		if before, seen := at[p]; seen {
			if before != r.Value {
				add("inconsistent-offset", "partition %d offset %d held %v and %v", r.Partition, r.Offset, before, r.Value)
			}
			continue
		}
		at[p] = r.Value
		if !l.sent[r.Value] {
			add("phantom", "%v at partition %d offset %d", r.Value, r.Partition, r.Offset)
		}
		if first, seen := where[r.Value]; seen {
			add("duplicate", "%v at partition %d offsets %d and %d", r.Value, r.Partition, first.offset, r.Offset)
			continue
		}
		where[r.Value] = p
	}
	for v, want := range promised {
		switch got, read := where[v]; {
		case !read:
			add("lost", "%v, acknowledged at partition %d offset %d", v, want.partition, want.offset)
		case got != want:
			add("moved", "%v, acknowledged at partition %d offset %d, read at partition %d offset %d", v, want.partition, want.offset, got.partition, got.offset)
		}
	}
	checkOrder(at, add)
	slices.SortFunc(found, func(a, b Anomaly) int { return cmp.Compare(a.String(), b.String()) })
	return found
}

func checkOrder(at map[place]Value, add func(name, format string, args ...any)) {
	places := make([]place, 0, len(at))
	for p := range at {
		places = append(places, p)
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.offset, b.offset))
	})
	type stream struct {
		partition int32
		producer  int
	}
	last := map[stream]int{}
	for _, p := range places {
		v, s := at[p], stream{p.partition, at[p].Producer}
		if before, seen := last[s]; seen && v.Sequence < before {
			add("out-of-order", "partition %d offset %d: %v after %d/%d", p.partition, p.offset, v, v.Producer, before)
		}
		last[s] = max(last[s], v.Sequence)
	}
}
