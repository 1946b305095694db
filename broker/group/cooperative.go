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
// Kafka answers everybody at once. A member that has nothing misses nothing meanwhile; one that keeps what it has works on, but
// its client may refuse to commit, and may forget that it had it: it is held back for a shorter time, and only if its client is known
// to bear that (Caller.Steady).

const (
	idleHold   = time.Second            // of a member that has nothing and gets nothing
	steadyHold = 250 * time.Millisecond // of one that keeps what it has
)

// ownership is the partitions of one assignment of the classic consumer protocol.
type ownership map[ownedPartition]bool

type ownedPartition struct {
	topic  string
	number int32
}

// readOwnership returns what an assignment names; one that cannot be read names nothing.
func readOwnership(assignment []byte) ownership {
	if len(assignment) == 0 {
		return nil
	}
	a := kmsg.NewConsumerMemberAssignment()
	if a.ReadFrom(assignment) != nil {
		return nil
	}
	all := ownership{}
	for _, t := range a.Topics {
		for _, p := range t.Partitions {
			all[ownedPartition{t.Topic, p}] = true
		}
	}
	return all
}

// holds returns for how long the assignment of members may be held back: of those who have nothing to give up, in a generation
// of a cooperative protocol that takes partitions from others; nil when it takes none.
func (g *group) holds(assignment map[string][]byte) map[*member]time.Duration {
	if !g.isConsumer() || g.protocol == nil || !strings.HasPrefix(*g.protocol, "cooperative") {
		return nil
	}
	all, taken := map[*member]time.Duration{}, false
	for _, m := range g.members {
		had, has := readOwnership(m.assignment), readOwnership(assignment[m.id])
		switch {
		case !had.isWithin(has):
			taken = true
		case len(has) == 0:
			all[m] = idleHold
		case m.steady && len(had) == len(has):
			all[m] = steadyHold
		}
	}
	if !taken {
		return nil
	}
	return all
}

func (o ownership) isWithin(other ownership) bool {
	for p := range o {
		if !other[p] {
			return false
		}
	}
	return true
}

// holdSync answers a member's SyncGroup after a while, unless the next rebalance comes first.
func (s *shard) holdSync(g *group, m *member, until time.Time) {
	m.holding = g.newTimer(func(now time.Time, do *effects) {
		if g.byID[m.id] == m && m.sync != 0 {
			s.assign(g, m, now, do)
		}
	})
	s.timers.schedule(m.holding, until)
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
