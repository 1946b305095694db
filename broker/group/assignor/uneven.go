package assignor

import (
	"cmp"
	"slices"
)

// maxBalanceRounds bounds how often the topics are gone through for a better balance. Where the subscribers of each topic
// subscribe alike, the first round finds it; overlapping subscriptions halve the imbalance with each.
const maxBalanceRounds = 16

// uniformOfMany divides when members subscribe to different topics: everybody keeps what it still subscribes to, what
// nobody has goes to the subscriber with the least, and then partitions move from the one with the most to the one with
// the least for as long as that brings them closer.
func uniformOfMany(members []Member, topics map[TopicID]Topic) map[string]Partitions {
	u := newUneven(members, topics)
	u.keepOwned()
	for _, id := range u.order {
		u.assignFree(id)
	}
	for range maxBalanceRounds {
		moved := false
		for _, id := range u.order {
			moved = u.balance(id) || moved
		}
		if !moved {
			break
		}
	}
	return u.targets()
}

// uneven is an assignment in the making. Members are their places in the list.
type uneven struct {
	members     []Member
	subscribers map[TopicID][]int
	owner       map[TopicID][]int // of each partition; -1: nobody
	load        []int             // partitions of each member
	order       []TopicID         // most partitions for each subscriber first: those are the hardest to place
}

func newUneven(members []Member, topics map[TopicID]Topic) *uneven {
	u := &uneven{members: members, subscribers: make(map[TopicID][]int), owner: make(map[TopicID][]int), load: make([]int, len(members))}
	for i, m := range members {
		for _, id := range m.Topics {
			if u.subscribers[id] == nil {
				u.order = append(u.order, id)
				u.owner[id] = slices.Repeat([]int{-1}, int(topics[id].Partitions))
			}
			u.subscribers[id] = append(u.subscribers[id], i)
		}
	}
	slices.SortFunc(u.order, func(a, b TopicID) int {
		perA, perB := len(u.owner[a])*len(u.subscribers[b]), len(u.owner[b])*len(u.subscribers[a])
		return cmp.Or(cmp.Compare(perB, perA), cmp.Compare(len(u.subscribers[a]), len(u.subscribers[b])), compareIDs(a, b))
	})
	return u
}

func (u *uneven) keepOwned() {
	for i, m := range u.members {
		for _, id := range m.Topics {
			for _, p := range m.Assigned[id] {
				if int(p) < len(u.owner[id]) && u.owner[id][p] == -1 {
					u.give(id, p, i)
				}
			}
		}
	}
}

func (u *uneven) give(id TopicID, p int32, member int) {
	if before := u.owner[id][p]; before >= 0 {
		u.load[before]--
	}
	u.owner[id][p] = member
	u.load[member]++
}

func (u *uneven) assignFree(id TopicID) {
	queue := newLoads(u.load, u.subscribers[id])
	for p, owner := range u.owner[id] {
		if owner == -1 {
			u.give(id, int32(p), queue.least())
			queue.fixLeast()
		}
	}
}

// balance moves partitions of one topic from its most to its least loaded subscribers.
func (u *uneven) balance(id TopicID) (moved bool) {
	subscribers := u.subscribers[id]
	if len(subscribers) < 2 {
		return false
	}
	has := make(map[int][]int32, len(subscribers))
	for p, owner := range u.owner[id] {
		has[owner] = append(has[owner], int32(p))
	}
	giving := make([]int, 0, len(has))
	for _, i := range subscribers {
		if len(has[i]) > 0 {
			giving = append(giving, i)
		}
	}
	from, to := newMostLoads(u.load, giving), newLoads(u.load, subscribers)
	for from.Len() > 0 {
		giver, taker := from.most(), to.least()
		if u.load[giver]-u.load[taker] <= 1 {
			return moved
		}
		partitions := has[giver]
		p := partitions[len(partitions)-1]
		has[giver] = partitions[:len(partitions)-1]
		u.give(id, p, taker)
		moved = true
		to.fixLeast()
		to.fix(giver)
		if len(has[giver]) == 0 {
			from.dropMost()
		} else {
			from.fixMost()
		}
		from.fix(taker)
	}
	return moved
}

func (u *uneven) targets() map[string]Partitions {
	targets := make(map[string]Partitions, len(u.members))
	for _, m := range u.members {
		targets[m.ID] = make(Partitions)
	}
	for _, id := range u.order {
		for p, owner := range u.owner[id] {
			target := targets[u.members[owner].ID]
			target[id] = append(target[id], int32(p))
		}
	}
	return targets
}
