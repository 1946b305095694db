package checker

// checkReads finds values that were read and may not exist.
func (c *check) checkReads() {
	for k, reader := range c.read {
		op, _ := c.op(k.value)
		offset := c.offsetOf(k)
		switch {
		case op == nil:
			c.found(Phantom, k.key, offset, "key %d offset %d: %v was never sent; read by %v", k.key, offset, k.value, &c.h.Ops[reader])
		case c.h.Ops[c.writers[k.value].op].Steps[c.writers[k.value].step].Key != k.key:
			c.found(Phantom, k.key, offset, "key %d offset %d: %v was sent to another partition", k.key, offset, k.value)
		case op.Outcome == Fail && (c.proven[k] || !op.Transaction):
			c.found(AbortedRead, k.key, offset, "key %d offset %d: %v definitely failed (%v) and was read by %v", k.key, offset, k.value, op, &c.h.Ops[reader])
		}
	}
}

func (c *check) offsetOf(k keyed) int64 {
	if l := c.logs[k.key]; l != nil {
		if offset, ok := l.first[k.value]; ok {
			return offset
		}
	}
	return NoOffset
}

// checkLoss finds writes that happened for good and were never read: lost when something behind them was read, unseen
// when the end is over and nobody saw them.
func (c *check) checkLoss() {
	for i := range c.h.Ops {
		op := &c.h.Ops[i]
		if op.Kind != Produce || !c.done[i] {
			continue
		}
		for _, s := range op.Steps {
			if s.Read {
				continue
			}
			k := keyed{s.Key, s.Value}
			if _, read := c.read[k]; read || s.Offset != NoOffset && s.Offset < c.h.LogStart[s.Key] {
				continue
			}
			end := int64(0)
			if l := c.logs[s.Key]; l != nil {
				end = l.end
			}
			switch {
			case s.Offset != NoOffset && s.Offset < end:
				c.found(LostWrite, s.Key, s.Offset, "key %d: %v, acknowledged at offset %d, was never read though offset %d was; written by %v", s.Key, s.Value, s.Offset, end-1, op)
			case c.h.Final && op.Outcome == OK:
				c.found(Unseen, s.Key, s.Offset, "key %d: %v, acknowledged at offset %d, was never read; written by %v", s.Key, s.Value, s.Offset, op)
			}
		}
	}
}
