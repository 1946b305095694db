package group

import (
	"maps"
	"slices"
	"time"
)

// maxExpiredPerStep bounds what one sweep writes; what is left is swept right after.
const maxExpiredPerStep = 5000

// expireOffsets forgets offsets that outlived their retention, and groups that have nothing left.
func (s *shard) expireOffsets(now time.Time, do *effects) {
	do.Divisible = true
	written := 0
	for _, key := range s.sortedKeys() {
		g := s.groups[key]
		kept := 0
		for _, topic := range slices.Sorted(maps.Keys(g.offsets)) {
			for _, partition := range slices.Sorted(maps.Keys(g.offsets[topic])) {
				if s.isExpired(g, topic, g.offsets[topic][partition], now) && written < maxExpiredPerStep {
					do.write(offsetTombstone(key, topic, partition))
					s.figures.expired++
					written++
				} else {
					kept++
				}
			}
		}
		if kept == 0 && g.state == empty && g.stored != nil && len(g.pendingJoin) == 0 && written < maxExpiredPerStep {
			do.write(groupTombstone(key))
			written++
		}
	}
	next := now.Add(millis(s.settings().OffsetsRetentionCheckMillis))
	if written >= maxExpiredPerStep {
		next = now.Add(sweepPause)
	}
	s.timers.schedule(s.sweep, next)
}

// sweepPause lets requests through between the parts of a long sweep.
const sweepPause = 50 * time.Millisecond

// isExpired follows KIP-211. An offset that was committed with a retention of its own lives that long. Otherwise
// retention counts from when the group became empty, and from the commit for simple groups and for topics that a stable
// consumer group no longer subscribes to. Other groups with members keep what they have.
func (s *shard) isExpired(g *group, topic string, o committedOffset, now time.Time) bool {
	since := o.commitMillis
	switch {
	case g.isSubscribedTo(topic):
		return false
	case g.protocolType == nil:
	case g.state == empty:
		if g.stateChangedMillis != -1 {
			since = g.stateChangedMillis
		}
	case g.isConsumer() && g.topicsKnown && g.state == stable:
	default:
		return false
	}
	if o.expireMillis != -1 {
		return now.UnixMilli() >= o.expireMillis
	}
	return now.UnixMilli()-since >= s.settings().OffsetsRetentionMillis
}
