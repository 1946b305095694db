package checker

// writer is where a value was sent.
type writer struct {
	op   int32 // index in History.Ops
	step int32
}

type keyed struct {
	key   Key
	value Value
}

// check is one run over one history.
type check struct {
	h       *History
	report  *Report
	writers map[Value]writer
	read    map[keyed]int32 // the op that read it first
	proven  map[keyed]bool  // read by somebody who reads only what is committed
	logs    map[Key]*log
	done    []bool // per op: its writes happened for good
}

// Check finds every anomaly of a history.
func Check(h *History) *Report {
	c := &check{
		h: h, writers: map[Value]writer{}, read: map[keyed]int32{}, proven: map[keyed]bool{}, logs: map[Key]*log{},
		report: &Report{Counts: map[string]int{}, Notes: map[string]int{}, Gaps: map[Key]Gap{}},
	}
	c.index()
	c.commitments()
	c.buildLogs()
	c.checkLogs()
	c.checkReads()
	c.checkLoss()
	c.checkProcesses()
	c.checkTransactions()
	c.checkGroups()
	c.checkEnds()
	c.availability()
	return c.report
}

// index notes who wrote and who read what.
func (c *check) index() {
	for i := range c.h.Ops {
		op := &c.h.Ops[i]
		if op.Kind != Produce && op.Kind != Poll {
			continue
		}
		committedOnly := !c.h.Clients[op.Process].Uncommitted
		for j, s := range op.Steps {
			if !s.Read {
				c.writers[s.Value] = writer{int32(i), int32(j)}
				c.report.Sent++
				if op.Outcome == OK {
					c.report.Acked++
				}
				continue
			}
			k := keyed{s.Key, s.Value}
			if _, seen := c.read[k]; !seen {
				c.read[k] = int32(i)
			}
			if committedOnly {
				c.proven[k] = true
			}
		}
	}
	c.report.Read = len(c.read)
}

// commitments says which ops happened for good: those that were acknowledged, and those of unknown outcome of which a part
// was read.
func (c *check) commitments() {
	c.done = make([]bool, len(c.h.Ops))
	for i := range c.h.Ops {
		op := &c.h.Ops[i]
		c.done[i] = op.Outcome == OK
		for j := 0; op.Outcome == Info && !c.done[i] && j < len(op.Steps); j++ {
			s, k := op.Steps[j], keyed{op.Steps[j].Key, op.Steps[j].Value}
			if s.Read {
				continue
			}
			_, read := c.read[k]
			c.done[i] = c.proven[k] || read && !op.Transaction
		}
	}
}

// op returns the op that sent a value, nil when nobody did.
func (c *check) op(v Value) (*Op, int) {
	w, ok := c.writers[v]
	if !ok {
		return nil, -1
	}
	return &c.h.Ops[w.op], int(w.op)
}
