package checker

import "slices"

// checkTransactions finds reads before the end of a transaction was asked for, transactions of which only a part is there,
// and circles of transactions that read from each other.
func (c *check) checkTransactions() {
	c.checkPrecommitted()
	c.checkTorn()
	c.checkCircles()
}

func (c *check) checkPrecommitted() {
	for i := range c.h.Ops {
		op := &c.h.Ops[i]
		if op.Kind != Poll && op.Kind != Produce || c.h.Clients[op.Process].Uncommitted {
			continue
		}
		for _, s := range op.Steps {
			if !s.Read {
				continue
			}
			writer, at := c.op(s.Value)
			if writer == nil || !writer.Transaction {
				continue
			}
			if at == i || op.Returned != 0 && (writer.EndInvoked == 0 || op.Returned < writer.EndInvoked) {
				c.found(PrecommittedRead, s.Key, s.Offset, "key %d offset %d: %v was read by %v before its transaction ended, %v", s.Key, s.Offset, s.Value, op, writer)
			}
		}
	}
}

func (c *check) checkTorn() {
	if !c.h.Final {
		return
	}
	for i := range c.h.Ops {
		op := &c.h.Ops[i]
		if !op.Transaction || op.Outcome == Fail {
			continue
		}
		var there, missing []Step
		for _, s := range op.Steps {
			switch {
			case s.Read:
			case c.proven[keyed{s.Key, s.Value}]:
				there = append(there, s)
			case s.Offset == NoOffset || s.Offset >= c.h.LogStart[s.Key]:
				missing = append(missing, s)
			}
		}
		if len(there) > 0 && len(missing) > 0 {
			s := missing[0]
			c.found(Torn, s.Key, s.Offset, "of %v %d records were read, and %d never, such as %v of key %d", op, len(there), len(missing), s.Value, s.Key)
		}
	}
}

// checkCircles looks for strongly connected transactions by what they read from each other.
func (c *check) checkCircles() {
	edges := map[int][]int{} // from a writer to those that read from it
	for i := range c.h.Ops {
		if !c.h.Ops[i].Transaction || !c.done[i] {
			continue
		}
		for _, s := range c.h.Ops[i].Steps {
			if writer, at := c.op(s.Value); s.Read && writer != nil && writer.Transaction && c.done[at] && at != i {
				edges[at] = append(edges[at], i)
			}
		}
	}
	for _, circle := range components(edges) {
		if len(circle) > 1 {
			c.found(G1c, 0, NoOffset, "%d transactions read from each other in a circle: %v and %v", len(circle), &c.h.Ops[circle[0]], &c.h.Ops[circle[1]])
		}
	}
}

// components is Tarjan's algorithm without recursion: a history may hold a chain of a million transactions.
func components(edges map[int][]int) (found [][]int) {
	type state struct {
		index, low int
		open       bool
	}
	type frame struct{ node, next int }
	states := map[int]*state{}
	var stack []int
	nodes := make([]int, 0, len(edges))
	for n := range edges {
		nodes = append(nodes, n)
	}
	slices.Sort(nodes)
	visit := func(n int) frame {
		states[n] = &state{index: len(states), low: len(states), open: true}
		stack = append(stack, n)
		return frame{node: n}
	}
	for _, root := range nodes {
		if states[root] != nil {
			continue
		}
		calls := []frame{visit(root)}
		for len(calls) > 0 {
			f := &calls[len(calls)-1]
			s := states[f.node]
			if f.next < len(edges[f.node]) {
				to := edges[f.node][f.next]
				f.next++
				if t := states[to]; t == nil {
					calls = append(calls, visit(to))
				} else if t.open {
					s.low = min(s.low, t.index)
				}
				continue
			}
			node := f.node
			calls = calls[:len(calls)-1]
			if len(calls) > 0 {
				parent := states[calls[len(calls)-1].node]
				parent.low = min(parent.low, s.low)
			}
			if s.low != s.index {
				continue
			}
			at := slices.Index(stack, node)
			circle := slices.Clone(stack[at:])
			stack = stack[:at]
			for _, n := range circle {
				states[n].open = false
			}
			found = append(found, circle)
		}
	}
	return found
}
