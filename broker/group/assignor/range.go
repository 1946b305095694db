package assignor

// Range gives each member a range of consecutive partitions of each topic it subscribes to. Topics with as many
// partitions and the same subscribers are divided alike, so that who joins streams finds both sides on one member.
func Range(members []Member, topics map[TopicID]Topic) map[string]Partitions {
	members = sorted(members)
	subscribers := make(map[TopicID]int32)
	for _, m := range members {
		for _, id := range m.Topics {
			subscribers[id]++
		}
	}
	next, served := make(map[TopicID]int32), make(map[TopicID]int32)
	targets := make(map[string]Partitions, len(members))
	for _, m := range members {
		target := make(Partitions)
		for _, id := range m.Topics {
			quota, extra := topics[id].Partitions/subscribers[id], topics[id].Partitions%subscribers[id]
			if served[id] < extra {
				quota++
			}
			served[id]++
			if quota > 0 {
				target[id] = rangeOf(next[id], next[id]+quota)
				next[id] += quota
			}
		}
		targets[m.ID] = target
	}
	return targets
}

func rangeOf(from, to int32) []int32 {
	partitions := make([]int32, 0, to-from)
	for p := from; p < to; p++ {
		partitions = append(partitions, p)
	}
	return partitions
}
