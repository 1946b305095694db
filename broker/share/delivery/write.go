package delivery

// Write is what the share coordinator is to be told.
type Write struct {
	Start   int64 // once it is written
	Through int64 // offsets of the window that are through then
	Batches []Batch
}

// Take returns what has to be written, ok is false when there is nothing or a write is under way. Settle must follow.
func (p *Partition) Take() (w Write, ok bool) {
	if p.writing {
		return w, false
	}
	w.Start = p.start
	atStart, needed := true, p.moved
	for i := range p.runs {
		r := &p.runs[i]
		state, write := r.state, r.unsaved
		if r.decision == queued {
			r.decision, state, write = writing, r.next, true
		}
		r.unsaved = false
		if atStart = atStart && state.Through(); atStart {
			w.Start = r.last + 1
		} else if state.Through() {
			w.Through += r.length()
		}
		if write {
			needed = true
			w.add(Batch{r.first, r.last, state, r.count})
		}
	}
	if !needed {
		return w, false
	}
	p.writing, p.moved, p.taken = true, false, w.Batches
	return w, true
}

// add appends a batch, joined with the one before if they are alike.
func (w *Write) add(b Batch) {
	if n := len(w.Batches); n > 0 {
		if l := &w.Batches[n-1]; l.Last+1 == b.First && l.State == b.State && l.Count == b.Count {
			l.Last = b.Last
			return
		}
	}
	w.Batches = append(w.Batches, b)
}

// Settle ends a write: what was decided counts now, or its holders hold it as before. It reports whether records became
// available.
func (p *Partition) Settle(written bool) (freed bool) {
	for i := range p.runs {
		r := &p.runs[i]
		if r.decision != writing {
			continue
		}
		if !written {
			r.decision, r.next = undecided, 0
			continue
		}
		freed = freed || r.next == Available
		r.settle(r.next, r.count, false)
	}
	if !written {
		p.saveAgain()
	}
	p.writing, p.taken = false, nil
	p.tidy()
	return freed
}

// saveAgain marks what was to be written, and was no member's decision, to be written by the next.
func (p *Partition) saveAgain() {
	p.moved = true
	for _, b := range p.taken {
		runs := p.within(max(b.First, p.start), b.Last)
		for i := range runs {
			if runs[i].state != Acquired {
				runs[i].unsaved = true
			}
		}
	}
}
