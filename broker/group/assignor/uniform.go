package assignor

import "slices"

// Uniform gives members numbers of partitions that differ by one at most, where subscriptions allow it, and moves as few
// partitions as that takes.
func Uniform(members []Member, topics map[TopicID]Topic) map[string]Partitions {
	if len(members) == 0 {
		return nil
	}
	members = sorted(members)
	if isHomogeneous(members) {
		return uniformOfOne(members, topics)
	}
	return uniformOfMany(members, topics)
}

// uniformOfOne divides when all members subscribe to the same topics: whoever has more than its share gives up the rest,
// and what nobody has goes to those that have less. What there is to keep stays where it is.
func uniformOfOne(members []Member, topics map[TopicID]Topic) map[string]Partitions {
	subscribed := members[0].Topics
	total := 0
	for _, id := range subscribed {
		total += int(topics[id].Partitions)
	}
	owned := newOwners(subscribed, topics)
	quotas := quotasOf(members, topics, total)
	targets := make(map[string]Partitions, len(members))
	left := make([]int, len(members))
	for i, m := range members {
		targets[m.ID], left[i] = keep(m, quotas[i], owned)
	}
	free := owned.free(subscribed)
	for i, m := range members {
		if left[i] > 0 && len(free) > 0 {
			n := min(left[i], len(free))
			targets[m.ID] = withPlaces(targets[m.ID], free[:n])
			free = free[n:]
		}
	}
	return targets
}

// quotasOf says how many partitions each member gets. Those that have more than the lesser share already are the first
// to get one of those that are left over, so that none moves for nothing.
func quotasOf(members []Member, topics map[TopicID]Topic, total int) []int {
	lesser, extra := total/len(members), total%len(members)
	quotas := make([]int, len(members))
	has := make([]int, len(members))
	for i, m := range members {
		quotas[i] = lesser
		for id, partitions := range m.Assigned {
			if _, ok := slices.BinarySearchFunc(m.Topics, id, compareIDs); ok {
				has[i] += below(partitions, topics[id].Partitions)
			}
		}
	}
	for _, wantsMore := range []bool{true, false} {
		for i := range members {
			if extra > 0 && quotas[i] == lesser && (has[i] > lesser) == wantsMore {
				quotas[i]++
				extra--
			}
		}
	}
	return quotas
}

// below counts the partitions that exist.
func below(partitions []int32, count int32) int {
	n, _ := slices.BinarySearch(partitions, count)
	return n
}

// keep returns what of a member's target stays, and how much more it may get. The target itself is handed out again when
// all of it stays.
func keep(m Member, quota int, owned *owners) (kept Partitions, left int) {
	kept = make(Partitions, len(m.Assigned))
	for _, id := range m.Topics {
		partitions := m.Assigned[id]
		n := min(below(partitions, owned.count(id)), quota)
		if n == 0 {
			continue
		}
		whole := true
		for i, p := range partitions[:n] {
			if !owned.take(id, p) { // somebody else's: only in what another broker wrote
				kept[id] = append(slices.Clone(partitions[:i]), owned.takeAll(id, partitions[i+1:n])...)
				whole = false
				break
			}
		}
		if whole {
			kept[id] = partitions[:n:n]
		}
		quota -= len(kept[id])
		if len(kept[id]) == 0 {
			delete(kept, id)
		}
	}
	return kept, quota
}

// withPlaces adds partitions to an assignment whose lists may be shared.
func withPlaces(p Partitions, places []place) Partitions {
	added := make(Partitions)
	for _, x := range places {
		added[x.topic] = append(added[x.topic], x.partition)
	}
	for id, partitions := range added {
		all := make([]int32, 0, len(p[id])+len(partitions))
		all = append(append(all, p[id]...), partitions...)
		slices.Sort(all)
		p[id] = all
	}
	return p
}

// owners says of each partition whether somebody has it.
type owners struct{ taken map[TopicID][]bool }

func newOwners(subscribed []TopicID, topics map[TopicID]Topic) *owners {
	o := &owners{taken: make(map[TopicID][]bool, len(subscribed))}
	for _, id := range subscribed {
		o.taken[id] = make([]bool, topics[id].Partitions)
	}
	return o
}

func (o *owners) count(id TopicID) int32 { return int32(len(o.taken[id])) }

// take reports false for a partition that somebody has.
func (o *owners) take(id TopicID, p int32) bool {
	if o.taken[id][p] {
		return false
	}
	o.taken[id][p] = true
	return true
}

func (o *owners) takeAll(id TopicID, partitions []int32) (got []int32) {
	for _, p := range partitions {
		if o.take(id, p) {
			got = append(got, p)
		}
	}
	return got
}

// free lists what nobody has, topic by topic.
func (o *owners) free(subscribed []TopicID) []place {
	var free []place
	for _, id := range subscribed {
		for p, taken := range o.taken[id] {
			if !taken {
				free = append(free, place{id, int32(p)})
			}
		}
	}
	return free
}
