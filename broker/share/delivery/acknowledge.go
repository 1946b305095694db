package delivery

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Acknowledgement is what a member says of a range: one type for all of it, or one for each offset.
type Acknowledgement struct {
	First, Last int64
	Types       []Type
}

func (a *Acknowledgement) at(offset int64) Type {
	if len(a.Types) == 1 {
		return a.Types[0]
	}
	return a.Types[offset-a.First]
}

// Acknowledge notes what a member says, all of it or nothing. Renewals count at once; decided reports that something waits
// for Take. Offsets below the start are through already, and passed over.
func (p *Partition) Acknowledge(member string, said []Acknowledgement, limits Limits, now time.Time) (decided bool, err error) {
	for i := range said {
		if err := p.check(member, said[i].First, said[i].Last); err != nil {
			return false, err
		}
	}
	for i := range said {
		a := &said[i]
		for first := max(a.First, p.start); first <= a.Last; {
			last, kind := first, a.at(first)
			for last < a.Last && (len(a.Types) == 1 || a.at(last+1) == kind) {
				if len(a.Types) == 1 {
					last = a.Last
				} else {
					last++
				}
			}
			p.decide(first, last, kind, limits, now)
			decided = decided || kind != Renew
			first = last + 1
		}
	}
	p.tidy()
	return decided, nil
}

// check refuses what the member does not hold.
func (p *Partition) check(member string, first, last int64) error {
	if last >= p.end {
		return kerr.InvalidRequest
	}
	if last < p.start {
		return nil
	}
	for i := p.find(max(first, p.start)); i < len(p.runs) && p.runs[i].first <= last; i++ {
		if !p.runs[i].heldBy(member) {
			return kerr.InvalidRecordState
		}
	}
	return nil
}

func (p *Partition) decide(first, last int64, kind Type, limits Limits, now time.Time) {
	runs := p.within(first, last)
	for i := range runs {
		r := &runs[i]
		if r.decision != undecided {
			continue // said twice in one request; the first counts
		}
		switch kind {
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
		r.decision = queued
	}
}

// afterRelease is what a record becomes that its holder gives back.
func afterRelease(count int16, limits Limits) State {
	if count >= limits.MaxDeliveries {
		return Archived
	}
	return Available
}

// ReleaseMember gives back what a member holds whose session ended. It reports whether anything was given back.
func (p *Partition) ReleaseMember(member string, limits Limits) (released bool) {
	for i := range p.runs {
		if r := &p.runs[i]; r.heldBy(member) {
			r.settle(afterRelease(r.count, limits), r.count, true)
			released = true
		}
	}
	p.tidy()
	return released
}

// Expire ends the locks that are over and returns how many records that were.
func (p *Partition) Expire(limits Limits, now time.Time) (expired int64) {
	for i := range p.runs {
		r := &p.runs[i]
		if r.state == Acquired && r.decision == undecided && !r.until.After(now) {
			r.settle(afterRelease(r.count, limits), r.count, true)
			expired += r.length()
		}
	}
	p.tidy()
	return expired
}
