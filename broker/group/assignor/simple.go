package assignor

import "slices"

// Simple is the assignor of share groups: every partition has at least one member, and every member that subscribes to
// anything at least one partition. Partitions may be shared, so nobody has to give anything up before another gets it; who
// has a partition keeps it where that leaves the loads even. Of a partition that is not in topics nobody is told.
//
// Kafka's SimpleAssignor has the same rules; which member gets which partition may differ.
func Simple(members []Member, partitions map[TopicID][]int32) map[string]Partitions {
	members = sorted(members)
	s := newSimple(members, partitions)
	for _, id := range s.topics {
		for _, p := range partitions[id] {
			if m := s.keeper(id, p); m >= 0 {
				s.give(m, id, p)
			}
		}
	}
	for m := range members {
		if s.load[m] == 0 {
			s.share(m)
		}
	}
	return s.targets()
}

type simple struct {
	members    []Member
	partitions map[TopicID][]int32
	topics     []TopicID
	given      []map[TopicID][]int32 // by member
	load       []int
	sharers    map[place]int
	subscribed map[TopicID][]int // members by topic
}

func newSimple(members []Member, partitions map[TopicID][]int32) *simple {
	s := &simple{
		members: members, partitions: partitions, given: make([]map[TopicID][]int32, len(members)), load: make([]int, len(members)),
		sharers: make(map[place]int), subscribed: make(map[TopicID][]int),
	}
	for i, m := range members {
		s.given[i] = make(map[TopicID][]int32)
		for _, id := range m.Topics {
			s.subscribed[id] = append(s.subscribed[id], i)
		}
	}
	for id := range partitions {
		s.topics = append(s.topics, id)
	}
	slices.SortFunc(s.topics, compareIDs)
	return s
}

// keeper is the member that gets a partition first: of the least loaded one that had it, or else the first.
func (s *simple) keeper(id TopicID, p int32) int {
	best, had := -1, false
	for _, m := range s.subscribed[id] {
		_, has := slices.BinarySearch(s.members[m].Assigned[id], p)
		if best < 0 || s.load[m] < s.load[best] || s.load[m] == s.load[best] && has && !had {
			best, had = m, has
		}
	}
	return best
}

// share gives a member that has nothing yet the partition that the fewest have, one that it had if there is such.
func (s *simple) share(m int) {
	best, found, had := place{}, false, false
	for _, id := range s.members[m].Topics {
		for _, p := range s.partitions[id] {
			x := place{id, p}
			_, has := slices.BinarySearch(s.members[m].Assigned[id], p)
			if !found || s.sharers[x] < s.sharers[best] || s.sharers[x] == s.sharers[best] && has && !had {
				best, found, had = x, true, has
			}
		}
	}
	if found {
		s.give(m, best.topic, best.partition)
	}
}

func (s *simple) give(m int, id TopicID, p int32) {
	s.given[m][id] = append(s.given[m][id], p)
	s.load[m]++
	s.sharers[place{id, p}]++
}

func (s *simple) targets() map[string]Partitions {
	targets := make(map[string]Partitions, len(s.members))
	for i, m := range s.members {
		target := make(Partitions, len(s.given[i]))
		for id, partitions := range s.given[i] {
			slices.Sort(partitions)
			target[id] = partitions
		}
		targets[m.ID] = target
	}
	return targets
}
