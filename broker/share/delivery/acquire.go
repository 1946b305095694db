package delivery

import "time"

// Span is a batch that was read from the log.
type Span struct {
	First, Last int64
	// Hidden says that nobody gets these records: a marker, or of a transaction that was aborted.
	Hidden bool
}

// Request is what a member wants of what was read.
type Request struct {
	Member string
	// From is where the read began; Spans are the batches that it found, in order: what lies between them does not exist.
	From  int64
	Spans []Span
	// MaxRecords bounds what is acquired: exactly if Strict (KIP-1206), else the batch that reaches it is taken whole.
	MaxRecords int64
	Strict     bool
}

// Acquire gives the member what is available of the spans, and returns it as runs of equal delivery count.
func (p *Partition) Acquire(q Request, limits Limits, now time.Time) []Batch {
	var got []Batch
	at, left := max(q.From, p.start), q.MaxRecords
	for _, s := range q.Spans {
		if s.Last < at {
			continue
		}
		if s.First > at {
			p.hide(at, s.First-1)
			at = s.First
		}
		if s.Hidden {
			p.hide(at, s.Last)
		} else if last := p.reach(at, s.Last, left, q.Strict, limits); last >= at {
			left -= p.take(&got, q, at, last, left, limits, now)
		} else {
			break
		}
		at = s.Last + 1
		if left <= 0 || at > p.end {
			break // enough, or no room for all of the span: what follows it is not next
		}
	}
	p.tidy()
	return got
}

// reach is up to where a span may be acquired: new records only while there is room for them.
func (p *Partition) reach(first, last, left int64, strict bool, limits Limits) int64 {
	room := limits.MaxInFlight - (p.end - p.start)
	switch {
	case last < p.end:
		return last
	case room <= 0:
		return p.end - 1
	case strict:
		return min(last, p.end+min(room, left)-1)
	}
	return last
}

// take acquires what is available of [first, last] and returns how much that was.
func (p *Partition) take(got *[]Batch, q Request, first, last, left int64, limits Limits, now time.Time) (n int64) {
	for at := first; at <= last && at < p.end && !(q.Strict && n >= left); {
		r := &p.runs[p.find(at)]
		if end := min(r.last, last); r.free() {
			if q.Strict {
				end = min(end, at+left-n-1)
			}
			n += p.give(got, q.Member, at, end, limits, now)
			at = end + 1
		} else {
			at = r.last + 1
		}
	}
	if last >= p.end && !(q.Strict && n >= left) {
		if q.Strict {
			last = min(last, p.end+left-n-1)
		}
		first := p.end
		p.extend(last, Available, 0)
		n += p.give(got, q.Member, first, last, limits, now)
	}
	return n
}

// give hands a stretch of available records to the member.
func (p *Partition) give(got *[]Batch, member string, first, last int64, limits Limits, now time.Time) (n int64) {
	runs := p.within(first, last)
	for i := range runs {
		r := &runs[i]
		if r.count >= limits.MaxDeliveries { // the limit was lowered
			r.settle(Archived, r.count, true)
			continue
		}
		r.state, r.count, r.holder, r.until, r.unsaved = Acquired, r.count+1, member, now.Add(limits.Lock), false
		n += r.length()
		if k := len(*got); k > 0 && (*got)[k-1].Last+1 == r.first && (*got)[k-1].Count == r.count {
			(*got)[k-1].Last = r.last
			continue
		}
		*got = append(*got, Batch{r.first, r.last, Acquired, r.count})
	}
	return n
}

// hide archives what nobody can get of [first, last].
func (p *Partition) hide(first, last int64) {
	runs := p.within(first, last)
	for i := range runs {
		if runs[i].free() {
			runs[i].settle(Archived, runs[i].count, runs[i].count > 0)
		}
	}
	p.extend(last, Archived, 0)
}
