package checker

import (
	"cmp"
	"slices"
	"time"
)

// seen is one observation of a number that may only grow.
type seen struct {
	invoked, returned time.Duration
	offset            int64
	op                *Op
}

type subject struct {
	group string
	key   Key
}

// checkGroups finds commits that were forgotten and partitions with two owners.
func (c *check) checkGroups() {
	acked, remembered := map[subject][]seen{}, map[subject][]seen{}
	type claim struct {
		subject
		generation int32
	}
	owners := map[claim]int32{}
	for i := range c.h.Ops {
		op := &c.h.Ops[i]
		for _, s := range op.Steps {
			at := subject{op.Group, s.Key}
			switch {
			case op.Kind == Commit && op.Outcome == OK:
				acked[at] = append(acked[at], seen{op.Invoked, op.Returned, s.Offset, op})
			case op.Kind == Committed && op.Outcome == OK:
				remembered[at] = append(remembered[at], seen{op.Invoked, op.Returned, s.Offset, op})
			case op.Kind == Subscribe && op.Group != "":
				owner, taken := owners[claim{at, op.Generation}]
				if taken && owner != op.Process {
					c.found(TwoOwners, s.Key, NoOffset, "key %d of group %s in generation %d belongs to processes %d and %d", s.Key, op.Group, op.Generation, owner, op.Process)
				}
				owners[claim{at, op.Generation}] = op.Process
			}
		}
	}
	for at, looks := range remembered {
		c.neverBack(NonmonotonicCommit, at, looks, looks)
		c.neverBack(LostCommit, at, acked[at], looks)
	}
}

// checkEnds finds high watermarks and log starts that went back for somebody who asked.
func (c *check) checkEnds() {
	for kind, name := range map[Kind]string{Ends: NonmonotonicEnd, Starts: NonmonotonicStart} {
		looks := map[subject][]seen{}
		for i := range c.h.Ops {
			op := &c.h.Ops[i]
			if op.Kind != kind || op.Outcome != OK {
				continue
			}
			for _, s := range op.Steps {
				at := subject{key: s.Key}
				looks[at] = append(looks[at], seen{op.Invoked, op.Returned, s.Offset, op})
			}
		}
		for at, all := range looks {
			c.neverBack(name, at, all, all)
		}
	}
}

// neverBack wants of each look at least what was known (known) when it was asked for.
func (c *check) neverBack(name string, at subject, known, looks []seen) {
	known, looks = slices.Clone(known), slices.Clone(looks)
	slices.SortFunc(known, func(a, b seen) int { return cmp.Compare(a.returned, b.returned) })
	slices.SortFunc(looks, func(a, b seen) int { return cmp.Compare(a.invoked, b.invoked) })
	highest, next := seen{offset: NoOffset}, 0
	for _, look := range looks {
		for ; next < len(known) && known[next].returned < look.invoked; next++ {
			if known[next].offset > highest.offset {
				highest = known[next]
			}
		}
		if look.offset < highest.offset {
			c.found(name, at.key, NoOffset, "key %d %s: %d after %d; %v, then %v", at.key, at.group, look.offset, highest.offset, highest.op, look.op)
		}
	}
}

// Gap is a time without an acknowledged send.
type Gap struct {
	From, To time.Duration
}

// Length is how long it lasted.
func (g Gap) Length() time.Duration { return g.To - g.From }

// availability finds the longest gap of each partition between History.From and To.
func (c *check) availability() {
	acks := map[Key][]time.Duration{}
	for i := range c.h.Ops {
		op := &c.h.Ops[i]
		if op.Kind != Produce || op.Outcome != OK {
			continue
		}
		for _, s := range op.Steps {
			if !s.Read {
				acks[s.Key] = append(acks[s.Key], op.Returned)
			}
		}
	}
	for key, times := range acks {
		c.report.Gaps[key] = LongestGap(times, c.h.From, c.h.To)
	}
}

// LongestGap is the longest time between from and to without one of the times.
func LongestGap(times []time.Duration, from, to time.Duration) (longest Gap) {
	slices.Sort(times)
	last := from
	for _, at := range times {
		if at < from || at > to {
			continue
		}
		if at-last > longest.Length() {
			longest = Gap{last, at}
		}
		last = at
	}
	if to-last > longest.Length() {
		longest = Gap{last, to}
	}
	return longest
}
