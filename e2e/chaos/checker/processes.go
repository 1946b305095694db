package checker

// cursor is how far one process has come in one partition.
type cursor struct {
	process int32
	key     Key
}

// checkProcesses walks each process's operations in order: what it reads and what it sends must go forward, and what it
// reads may leave out nothing.
func (c *check) checkProcesses() {
	read := map[cursor]int64{} // the last offset read
	sent := map[cursor]int64{} // the offset of the last record sent, as far as it is known
	for i := range c.h.Ops {
		op := &c.h.Ops[i]
		switch op.Kind {
		case Assign, Subscribe:
			for at := range read {
				if at.process == op.Process {
					delete(read, at)
				}
			}
		case Poll, Produce:
			c.walkReads(op, read)
			c.walkSends(op, sent)
		}
	}
}

func (c *check) walkReads(op *Op, last map[cursor]int64) {
	if op.Rebalanced {
		for at := range last {
			if at.process == op.Process {
				delete(last, at)
			}
		}
	}
	within := map[Key]bool{}
	for _, s := range op.Steps {
		if !s.Read || op.Rebalanced {
			continue
		}
		at := cursor{op.Process, s.Key}
		if before, began := last[at]; began {
			skip, back := PollSkip, NonmonotonicPoll
			if within[s.Key] {
				skip, back = IntPollSkip, IntNonmonotonicPoll
			}
			c.step(op, s, before, skip, back, !within[s.Key] && c.h.Clients[op.Process].Grouped)
		}
		last[at], within[s.Key] = s.Offset, true
	}
	if op.Rebalanced { // what was read last still counts as the new beginning
		for _, s := range op.Steps {
			if s.Read {
				last[cursor{op.Process, s.Key}] = s.Offset
			}
		}
	}
}

// step judges two neighbours of what one process read of one partition.
func (c *check) step(op *Op, s Step, before int64, skip, back string, tolerated bool) {
	name, between := back, int64(0)
	if s.Offset > before {
		name = skip
		if between = c.leftOut(op, s.Key, before, s.Offset); between == NoOffset {
			return
		}
	}
	switch {
	case tolerated:
		c.note(name)
	case name == skip:
		c.found(name, s.Key, between, "key %d: offset %d followed %d and leaves out %d; read by %v", s.Key, s.Offset, before, between, op)
	default:
		c.found(name, s.Key, s.Offset, "key %d: offset %d followed %d; read by %v", s.Key, s.Offset, before, op)
	}
}

// leftOut returns the first offset between two that the process should have read, or NoOffset. Gaps are fine: offsets
// without a value are control records or were compacted away.
func (c *check) leftOut(op *Op, key Key, after, before int64) int64 {
	l := c.logs[key]
	uncommitted := c.h.Clients[op.Process].Uncommitted
	for i := l.slot(after + 1); i < len(l.places) && l.places[i].offset < before; i++ {
		p := l.places[i]
		if p.offset < c.h.LogStart[key] || p.told {
			continue // told and never read is lost, which has its own name
		}
		writer, at := c.op(p.value)
		if uncommitted || writer == nil || !writer.Transaction || c.done[at] {
			return p.offset
		}
	}
	return NoOffset
}

func (c *check) walkSends(op *Op, last map[cursor]int64) {
	if c.h.Clients[op.Process].AtLeastOnce {
		return
	}
	within := map[Key]bool{}
	for _, s := range op.Steps {
		if s.Read {
			continue
		}
		offset := c.offsetOf(keyed{s.Key, s.Value})
		if offset == NoOffset {
			continue
		}
		at := cursor{op.Process, s.Key}
		if before, began := last[at]; began && offset < before {
			name := NonmonotonicSend
			if within[s.Key] {
				name = IntNonmonotonicSend
			}
			c.found(name, s.Key, offset, "key %d: %v is at offset %d, what its process sent before is at %d", s.Key, s.Value, offset, before)
		}
		last[at], within[s.Key] = max(last[at], offset), true
	}
}
