package group

import (
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// In a cooperative protocol (KIP-429) a partition changes hands in two generations: the one takes it from its member, who joins
// again once it has given it up, and the next gives it to another. Everybody else hears of the second generation by the first
// heartbeat in the first: after half a second with franz-go, after three with Java's client. So who has nothing to give up is
// not answered before those who have had a moment to, and joins the second generation at once.
//
// Who gives something up is who has what the assignment does not name, and what a member has it says itself when it joins: its client
// takes the difference of the same two, gives that up and joins again. What the coordinator remembers would be something else
// where an answer was lost, a generation was interrupted before its assignment came, or the client has begun anew. The generation
// in which a member got what it has is of no account: an assignor may pass over what is old, its member gives it up all the same.
//
// Kafka answers everybody at once. A member that has nothing misses nothing meanwhile; one that keeps what it has works on, but
// its client may refuse to commit, and may forget that it had it, or the leader's may believe that it has forgotten: it is held back for a
// shorter time, and only if both are known to bear that (Caller.Steady). What somebody gets nobody works on, so that who gets more is
// held for the shortest time.

const (
	idleHold   = time.Second            // of a member that has nothing and gets nothing
	steadyHold = 250 * time.Millisecond // of one that keeps what it has
	gainHold   = 100 * time.Millisecond // of one that gets something
)

// ownership is the partitions of one member.
type ownership map[ownedPartition]bool

type ownedPartition struct {
	topic  string
	number int32
}

func (o ownership) add(topic string, partitions []int32) {
	for _, p := range partitions {
		o[ownedPartition{topic, p}] = true
	}
}

func (o ownership) isWithin(other ownership) bool {
	for p := range o {
		if !other[p] {
			return false
		}
	}
	return true
}

// readOwnership returns what an assignment names; one that cannot be read names nothing.
func readOwnership(assignment []byte) ownership {
	all := ownership{}
	a := kmsg.NewConsumerMemberAssignment()
	if len(assignment) == 0 || a.ReadFrom(assignment) != nil {
		return all
	}
	for _, t := range a.Topics {
		all.add(t.Topic, t.Partitions)
	}
	return all
}

// ownedBy returns what a member said that it has when it joined the generation, and whether it did: version 0 of the subscription has no
// place for it.
func (g *group) ownedBy(m *member) (all ownership, said bool) {
	subscription, err := readSubscription(m.metadata(*g.protocol))
	if err != nil || subscription.Version < 1 {
		return nil, false
	}
	all = ownership{}
	for _, t := range subscription.OwnedPartitions {
		all.add(t.Topic, t.Partitions)
	}
	return all, true
}

// setHolds decides until when the assignment of members may be held back: of those who have nothing to give up, in a generation
// of a cooperative protocol that takes partitions from others. Those others it marks.
func (g *group) setHolds(assignment map[string][]byte, now time.Time) {
	for _, m := range g.members {
		m.heldUntil, m.gives = time.Time{}, false
	}
	if !g.isConsumer() || g.protocol == nil || !strings.HasPrefix(*g.protocol, "cooperative") {
		return
	}
	holds, taken := make([]time.Duration, len(g.members)), false
	leader := g.byID[g.leaderID()]
	areSteady := leader != nil && leader.steady
	for i, m := range g.members {
		had, said := g.ownedBy(m)
		has := readOwnership(assignment[m.id])
		switch {
		case !said:
		case !had.isWithin(has):
			m.gives, taken = true, true
		default:
			holds[i] = holdFor(had, has, areSteady && m.steady)
		}
	}
	if taken {
		for i, m := range g.members {
			m.heldUntil = now.Add(holds[i])
		}
	}
}

// holdFor is how long a member that keeps what it had waits for what it has now.
func holdFor(had, has ownership, isSteady bool) time.Duration {
	switch {
	case len(has) == 0:
		return idleHold
	case len(had) > 0 && !isSteady:
		return 0
	case len(had) == len(has):
		return steadyHold
	}
	return gainHold
}

// holdSync answers a member's SyncGroup when its hold is over, unless the next rebalance comes first.
func (s *shard) holdSync(g *group, m *member) {
	m.holding = g.newTimer(func(now time.Time, do *effects) {
		if g.byID[m.id] == m && m.sync != 0 {
			s.assign(g, m, now, do)
		}
	})
	s.timers.schedule(m.holding, m.heldUntil)
}

// endSyncs ends every SyncGroup that waits, or is held back.
func (s *shard) endSyncs(g *group, reply *kmsg.SyncGroupResponse, now time.Time, do *effects) {
	for _, m := range g.members {
		if m.sync != 0 {
			s.answerSync(m, reply, do)
			s.startSession(g, m, millis(m.sessionTimeoutMillis), now)
		}
	}
}
