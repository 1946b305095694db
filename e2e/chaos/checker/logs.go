package checker

import (
	"cmp"
	"fmt"
	"slices"
)

// place is one value at one offset, however often it was seen there.
type place struct {
	offset int64
	value  Value
	epoch  int32
	told   bool // only an acknowledgement says so, nobody read it there
}

// log is what all clients together saw of a partition.
type log struct {
	places []place         // by offset; several of one offset are an anomaly
	first  map[Value]int64 // the lowest offset at which a value was read, or else acknowledged
	end    int64           // behind the highest offset that was read
}

// buildLogs gathers the logs from every read, of whatever outcome, and from the acknowledged sends.
func (c *check) buildLogs() {
	for i := range c.h.Ops {
		op := &c.h.Ops[i]
		if op.Kind != Produce && op.Kind != Poll {
			continue
		}
		for _, s := range op.Steps {
			if s.Offset == NoOffset || !s.Read && !c.done[i] {
				continue
			}
			l := c.logs[s.Key]
			if l == nil {
				l = &log{first: map[Value]int64{}}
				c.logs[s.Key] = l
			}
			if s.Read {
				l.end = max(l.end, s.Offset+1)
			}
			epoch := s.Epoch
			if !s.Read {
				epoch = NoEpoch
			}
			l.places = append(l.places, place{s.Offset, s.Value, epoch, !s.Read})
		}
	}
	for _, l := range c.logs {
		l.sort()
	}
}

func (l *log) sort() {
	slices.SortFunc(l.places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.value.Process, b.value.Process), cmp.Compare(a.value.Sequence, b.value.Sequence),
			cmp.Compare(boolInt(a.told), boolInt(b.told)), cmp.Compare(a.epoch, b.epoch))
	})
	l.places = slices.CompactFunc(l.places, func(a, b place) bool {
		return a.offset == b.offset && a.value == b.value && (a.epoch == b.epoch || b.epoch == NoEpoch)
	})
	for _, p := range l.places {
		if _, seen := l.first[p.value]; !seen {
			l.first[p.value] = p.offset
		}
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// slot returns the index of the first place at or behind an offset.
func (l *log) slot(offset int64) int {
	at, _ := slices.BinarySearchFunc(l.places, offset, func(p place, o int64) int { return cmp.Compare(p.offset, o) })
	return at
}

// around shows the log near an offset.
func (l *log) around(offset int64) (lines []string) {
	at := l.slot(offset)
	for _, p := range l.places[max(0, at-3):min(len(l.places), at+4)] {
		mark := " "
		if p.offset == offset {
			mark = ">"
		}
		line := fmt.Sprintf("%s offset %d: %v", mark, p.offset, p.value)
		if p.epoch != NoEpoch {
			line += fmt.Sprintf(" epoch %d", p.epoch)
		}
		if p.told {
			line += " (acknowledged)"
		}
		lines = append(lines, line)
	}
	return lines
}

// checkLogs finds offsets with two values, values at two offsets, and leader epochs that fall.
func (c *check) checkLogs() {
	for key, l := range c.logs {
		epoch := int32(NoEpoch)
		where := make(map[Value]int64, len(l.places))
		for i, p := range l.places {
			if i > 0 && l.places[i-1].offset == p.offset && l.places[i-1].value != p.value {
				c.inconsistent(key, l.places[i-1], p)
			}
			if p.epoch != NoEpoch {
				if p.epoch < epoch || i > 0 && l.places[i-1].offset == p.offset && l.places[i-1].epoch != p.epoch && l.places[i-1].epoch != NoEpoch {
					c.found(NonmonotonicEpoch, key, p.offset, "key %d offset %d has leader epoch %d behind %d", key, p.offset, p.epoch, epoch)
				}
				epoch = max(epoch, p.epoch)
			}
			if before, seen := where[p.value]; seen && before != p.offset {
				c.twice(key, l, p, before)
			} else if !seen {
				where[p.value] = p.offset
			}
		}
	}
}

// inconsistent tells a wrong zero from a log that changed.
func (c *check) inconsistent(key Key, a, b place) {
	if a.offset == 0 && (c.spurious(key, a) || c.spurious(key, b)) {
		return // named where the value lies, too
	}
	c.found(InconsistentOffset, key, a.offset, "key %d offset %d held %v and %v", key, a.offset, a.value, b.value)
}

// spurious reports whether offset 0 is an acknowledgement of a value that was read elsewhere.
func (c *check) spurious(key Key, p place) bool {
	if !p.told || p.offset != 0 {
		return false
	}
	for _, other := range c.logs[key].places {
		if other.value == p.value && other.offset != 0 && !other.told {
			return true
		}
	}
	return false
}

func (c *check) twice(key Key, l *log, p place, before int64) {
	switch at := l.slot(before); {
	case before == 0 && l.toldAt(at, p.value):
		c.found(SpuriousZero, key, p.offset, "key %d: %v was acknowledged at offset 0 and read at %d", key, p.value, p.offset)
	case c.h.Clients[p.value.Process].AtLeastOnce:
		c.note(Duplicate)
	default:
		c.found(Duplicate, key, p.offset, "key %d: %v is at offsets %d and %d", key, p.value, before, p.offset)
	}
}

// toldAt reports whether only an acknowledgement puts the value at the offset of a slot.
func (l *log) toldAt(slot int, v Value) bool {
	for offset := l.places[slot].offset; slot < len(l.places) && l.places[slot].offset == offset; slot++ {
		if l.places[slot].value == v {
			return l.places[slot].told
		}
	}
	return false
}
