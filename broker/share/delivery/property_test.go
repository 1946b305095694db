package delivery

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is the plain form of a Partition: what every single record is.
type model struct {
	start   int64
	records []modelRecord // by offset
}

type modelRecord struct {
	exists, hidden bool
	batch          int // the log's batch that it is in
	seen           bool
	state          State
	count          int16
	holder         string
	until          time.Time
	decided        bool
	writing        bool
	next           State
	given          int // deliveries that happened
}

// trim moves the start as the Partition must have.
func (m *model) trim() {
	for m.start < int64(len(m.records)) && m.records[m.start].seen && m.records[m.start].state.Through() {
		m.start++
	}
}

// log makes records in batches, with holes between them and some that nobody may have.
func (m *model) log(t *rapid.T) (spans []Span) {
	for batch := range rapid.IntRange(1, 12).Draw(t, "batches") {
		for range rapid.IntRange(0, 2).Draw(t, "hole") {
			m.records = append(m.records, modelRecord{})
		}
		first := int64(len(m.records))
		hidden := rapid.IntRange(0, 4).Draw(t, "hidden") == 0
		for range rapid.IntRange(1, 6).Draw(t, "records") {
			m.records = append(m.records, modelRecord{exists: true, hidden: hidden, batch: batch})
		}
		spans = append(spans, Span{First: first, Last: int64(len(m.records)) - 1, Hidden: hidden})
	}
	return spans
}

func TestEveryRecordIsWhatTheModelSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{}
		spans := m.log(t)
		limits := Limits{MaxDeliveries: int16(rapid.IntRange(1, 4).Draw(t, "deliveries")), MaxInFlight: int64(rapid.IntRange(3, 20).Draw(t, "window")), Lock: 30 * time.Second}
		p, saved := New(0, nil), map[int64]Batch{}
		var write *Write
		now := time.Unix(1000, 0)
		member := func() string { return rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "member") }
		t.Repeat(map[string]func(*rapid.T){
			"acquire": func(t *rapid.T) {
				acquire(t, m, p, spans, member(), limits, now)
			},
			"acknowledge": func(t *rapid.T) {
				acknowledge(t, m, p, member(), limits, now)
			},
			"close": func(t *rapid.T) {
				who := member()
				p.ReleaseMember(who, limits)
				for i := range m.records {
					if r := &m.records[i]; r.state == Acquired && r.holder == who && !r.decided {
						r.state, r.holder = afterRelease(r.count, limits), ""
					}
				}
				m.trim()
			},
			"time": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "seconds")) * time.Second)
				p.Expire(limits, now)
				for i := range m.records {
					if r := &m.records[i]; r.state == Acquired && !r.decided && !r.until.After(now) {
						r.state, r.holder = afterRelease(r.count, limits), ""
					}
				}
				m.trim()
			},
			"write": func(t *rapid.T) {
				if w, ok := p.Take(); ok {
					write = &w
					for i := range m.records {
						m.records[i].writing = m.records[i].decided
					}
				}
			},
			"settle": func(t *rapid.T) {
				if write == nil {
					return
				}
				written := rapid.Bool().Draw(t, "written")
				p.Settle(written)
				if written {
					for _, b := range write.Batches {
						for at := b.First; at <= b.Last; at++ {
							saved[at] = b
						}
					}
				}
				for i := range m.records {
					r := &m.records[i]
					if r.writing && written {
						r.state, r.holder = r.next, ""
					}
					if r.writing {
						r.decided, r.writing = false, false
					}
				}
				m.trim()
				write = nil
			},
			"fail over": func(t *rapid.T) {
				if write != nil || rapid.IntRange(0, 3).Draw(t, "rarely") > 0 {
					return
				}
				w, ok := p.Take()
				if !ok {
					return
				}
				failOver(t, m, p, saved, w)
				p.Settle(true)
				for _, b := range w.Batches {
					for at := b.First; at <= b.Last; at++ {
						saved[at] = b
					}
				}
				for i := range m.records {
					if r := &m.records[i]; r.decided {
						r.state, r.holder, r.decided = r.next, "", false
					}
				}
				m.trim()
			},
			"": func(t *rapid.T) { compare(t, m, p, limits) },
		})
	})
}

// acquire reads some batches from where the partition says, and does to the model, record by record, what must be.
func acquire(t *rapid.T, m *model, p *Partition, spans []Span, member string, limits Limits, now time.Time) {
	from := p.NextOffset()
	var read []Span
	n := rapid.IntRange(1, 4).Draw(t, "read")
	for _, s := range spans {
		if s.Last >= from && len(read) < n {
			read = append(read, s)
		}
	}
	q := Request{Member: member, From: from, Spans: read, MaxRecords: int64(rapid.IntRange(1, 10).Draw(t, "max")), Strict: rapid.Bool().Draw(t, "strict")}
	got := p.Acquire(q, limits, now)
	total := int64(0)
	for _, b := range got {
		for at := b.First; at <= b.Last; at++ {
			r := &m.records[at]
			if !r.exists || r.hidden {
				t.Fatalf("%d was given out, and nobody may have it", at)
			}
			if r.seen && r.state != Available {
				t.Fatalf("%d was given to %s, and is %s with %s", at, member, r.state, r.holder)
			}
			if r.count+1 != b.Count {
				t.Fatalf("%d was given for the %d. time, told %d", at, r.count+1, b.Count)
			}
			r.seen, r.state, r.count, r.holder, r.until = true, Acquired, r.count+1, member, now.Add(limits.Lock)
			if r.given++; r.given > int(limits.MaxDeliveries) {
				t.Fatalf("%d was given out %d times", at, r.given)
			}
			total++
		}
	}
	if q.Strict && total > q.MaxRecords {
		t.Fatalf("%d records were given, %d were asked for", total, q.MaxRecords)
	}
	if total == 0 && from < p.End() && len(read) > 0 && p.NextOffset() == from {
		t.Fatalf("%d is available and was not given", from)
	}
	for i := range m.records {
		r := &m.records[i]
		if at := int64(i); at < p.End() && (!r.exists || r.hidden) && (!r.seen || r.state == Available) {
			if len(read) > 0 && at <= read[len(read)-1].Last || !r.seen {
				r.seen, r.state = true, Archived
			}
		}
	}
	m.trim()
}

func acknowledge(t *rapid.T, m *model, p *Partition, member string, limits Limits, now time.Time) {
	if p.End() == p.Start() {
		return
	}
	first := rapid.Int64Range(max(p.Start()-2, 0), p.End()-1).Draw(t, "first")
	last := min(first+rapid.Int64Range(0, 5).Draw(t, "more"), int64(len(m.records))+3)
	a := Acknowledgement{First: first, Last: last, Types: []Type{Type(rapid.IntRange(0, 4).Draw(t, "type"))}}
	if rapid.Bool().Draw(t, "each") {
		a.Types = nil
		for range last - first + 1 {
			a.Types = append(a.Types, Type(rapid.IntRange(0, 4).Draw(t, "type")))
		}
	}
	refused := last >= p.End()
	for at := max(first, m.start); at <= last && !refused; at++ {
		r := &m.records[at]
		refused = r.state != Acquired || r.holder != member || r.decided
	}
	_, err := p.Acknowledge(member, []Acknowledgement{a}, limits, now)
	if (err != nil) != refused {
		t.Fatalf("%v of %s was answered %v, refused must be %v", a, member, err, refused)
	}
	if refused {
		return
	}
	for at := max(first, m.start); at <= last; at++ {
		r := &m.records[at]
		switch kind := a.at(at); kind {
		case Renew:
			r.until = now.Add(limits.Lock)
			continue
		case Accept:
			r.next = Acknowledged
		case Release:
			r.next = afterRelease(r.count, limits)
		default:
			r.next = Archived
		}
		r.decided = true
	}
}

// failOver makes a partition of what was written and holds it against what a new leader must know: nothing that is through
// comes back, and nothing that is not is lost.
func failOver(t *rapid.T, m *model, p *Partition, saved map[int64]Batch, w Write) {
	kept := map[int64]Batch{}
	for at, b := range saved {
		kept[at] = Batch{at, at, b.State, b.Count}
	}
	for _, b := range w.Batches {
		for at := b.First; at <= b.Last; at++ {
			kept[at] = Batch{at, at, b.State, b.Count}
		}
	}
	var batches []Batch
	for at, b := range kept {
		if at >= w.Start {
			batches = append(batches, b)
		}
	}
	next := New(w.Start, batches)
	for i := range m.records {
		r, at := &m.records[i], int64(i)
		state := r.state
		if r.decided {
			state = r.next
		}
		if !r.exists || r.hidden {
			continue
		}
		through := at < next.Start()
		count := int16(0)
		for _, b := range next.Batches() {
			if b.First <= at && at <= b.Last {
				through, count = b.State.Through(), b.Count
			}
		}
		if r.seen && through != state.Through() || !r.seen && through {
			t.Fatalf("%d is through after a failover: %v, and was %s", at, through, state)
		}
		if r.seen && state == Available && count != r.count {
			t.Fatalf("%d was delivered %d times after a failover, %d before", at, count, r.count)
		}
	}
}

func compare(t *rapid.T, m *model, p *Partition, limits Limits) {
	if p.Start() != m.start {
		t.Fatalf("the start is %d, must be %d\n%v", p.Start(), m.start, p.runs)
	}
	at := p.Start()
	for _, r := range p.runs {
		if r.first != at || r.last < r.first {
			t.Fatalf("the runs have a hole or an overlap at %d: %v", at, p.runs)
		}
		for ; at <= r.last; at++ {
			want := &m.records[at]
			if have := fmt.Sprint(r.state, r.count, r.holder, r.decision != undecided); have != fmt.Sprint(want.state, want.count, want.holder, want.decided) {
				t.Fatalf("%d is %s, must be %v %v %v %v", at, have, want.state, want.count, want.holder, want.decided)
			}
		}
	}
	if at != p.End() {
		t.Fatalf("the runs end at %d, the window at %d", at, p.End())
	}
	if open := p.End() - p.Start() - p.Through(); open > limits.MaxInFlight+5 {
		t.Fatalf("%d records are under way", open)
	}
}
