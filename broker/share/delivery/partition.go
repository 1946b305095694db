package delivery

import (
	"slices"
	"sort"
	"time"
)

// Limits are the settings of a share group.
type Limits struct {
	MaxDeliveries int16         // share.delivery.count.limit
	MaxInFlight   int64         // share.partition.max.record.locks: how long the window may be
	Lock          time.Duration // share.record.lock.duration.ms
}

// Partition is the state of one partition in one share group. Its owner guards it.
type Partition struct {
	start, end int64
	runs       []run
	moved      bool    // the start moved past what was not written
	taken      []Batch // of the write under way
	writing    bool
}

// New begins at an offset, with the batches that were written; what lies between them was delivered, but nothing of that
// was written: it is available.
func New(start int64, batches []Batch) *Partition {
	p := &Partition{start: start, end: start}
	batches = slices.Clone(batches)
	slices.SortFunc(batches, func(a, b Batch) int { return int(min(max(a.First-b.First, -1), 1)) })
	for _, b := range batches {
		first := max(b.First, p.end)
		if first > b.Last {
			continue
		}
		p.extend(first-1, Available, 0)
		p.extend(b.Last, b.State, b.Count)
	}
	p.tidy()
	return p
}

// Start is the offset below which everything is through.
func (p *Partition) Start() int64 { return p.start }

// End is the offset from which on nothing was delivered.
func (p *Partition) End() int64 { return p.end }

// Batches shows the window, for tests and people.
func (p *Partition) Batches() []Batch {
	var shown []Batch
	for i := range p.runs {
		r := &p.runs[i]
		if n := len(shown); n > 0 && shown[n-1].State == r.state && shown[n-1].Count == r.count {
			shown[n-1].Last = r.last
			continue
		}
		shown = append(shown, Batch{r.first, r.last, r.state, r.count})
	}
	return shown
}

// Through is how many offsets of the window are acknowledged or archived.
func (p *Partition) Through() (n int64) {
	for i := range p.runs {
		if p.runs[i].state.Through() {
			n += p.runs[i].length()
		}
	}
	return n
}

// Held is how many offsets are acquired.
func (p *Partition) Held() (n int64) {
	for i := range p.runs {
		if p.runs[i].state == Acquired {
			n += p.runs[i].length()
		}
	}
	return n
}

// NextOffset is where to read on for a consumer that wants records: the first that is available, else the end.
func (p *Partition) NextOffset() int64 {
	for i := range p.runs {
		if p.runs[i].free() {
			return p.runs[i].first
		}
	}
	return p.end
}

// HasRoom reports whether anything may be acquired: the window is not full, or a record in it is available.
func (p *Partition) HasRoom(limits Limits) bool {
	return p.end-p.start < limits.MaxInFlight || p.NextOffset() < p.end
}

// NextDeadline is when the first lock is over.
func (p *Partition) NextDeadline() (at time.Time, ok bool) {
	for i := range p.runs {
		if r := &p.runs[i]; r.state == Acquired && r.decision == undecided && (!ok || r.until.Before(at)) {
			at, ok = r.until, true
		}
	}
	return at, ok
}

// MoveStart follows the log: what it no longer has cannot be delivered.
func (p *Partition) MoveStart(logStart int64) {
	if logStart <= p.start {
		return
	}
	if logStart >= p.end {
		p.start, p.end, p.runs = logStart, logStart, nil
		return
	}
	p.cut(logStart)
	p.runs = append([]run(nil), p.runs[p.find(logStart):]...)
	p.start = logStart
	p.tidy()
}

// extend appends a run up to last, if the window ends before.
func (p *Partition) extend(last int64, state State, count int16) {
	if last < p.end {
		return
	}
	p.runs = append(p.runs, run{first: p.end, last: last, state: state, count: count})
	p.end = last + 1
}

// find returns the index of the run that holds the offset, or of the first after it.
func (p *Partition) find(offset int64) int {
	return sort.Search(len(p.runs), func(i int) bool { return p.runs[i].last >= offset })
}

// cut makes a run begin at the offset, if one holds it.
func (p *Partition) cut(offset int64) {
	i := p.find(offset)
	if i == len(p.runs) || p.runs[i].first >= offset {
		return
	}
	rest := p.runs[i]
	rest.first = offset
	p.runs[i].last = offset - 1
	p.runs = slices.Insert(p.runs, i+1, rest)
}

// within returns the runs of [first, last], cut at its ends.
func (p *Partition) within(first, last int64) []run {
	p.cut(first)
	p.cut(last + 1)
	i := p.find(first)
	j := i
	for j < len(p.runs) && p.runs[j].last <= last {
		j++
	}
	return p.runs[i:j]
}

// tidy joins what is alike and moves the start past what is through.
func (p *Partition) tidy() {
	kept := p.runs[:0]
	for _, r := range p.runs {
		switch n := len(kept); {
		case n == 0 && r.state.Through():
			p.start = r.last + 1
			p.moved = p.moved || r.unsaved
		case n > 0 && kept[n-1].alike(&r):
			kept[n-1].last = r.last
		default:
			kept = append(kept, r)
		}
	}
	clear(p.runs[len(kept):])
	p.runs = kept
	if len(p.runs) == 0 {
		p.start = p.end
	}
}
