package group

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// maxExpiredPerStep bounds what one sweep writes; what is left is swept right after.
const maxExpiredPerStep = 5000

// expireOffsets forgets offsets that outlived their retention, and groups that have nothing left.
func (s *shard) expireOffsets(now time.Time, do *effects) {
	do.Divisible = true
	left := maxExpiredPerStep
	for _, key := range s.sortedKeys() {
		g := s.groups[key]
		expired, kept := s.expiredOf(g, now, left)
		for _, x := range expired {
			do.write(offsetTombstone(key, x.topic, x.partition))
			s.figures.expired++
		}
		left -= len(expired)
		kept += len(g.pending) // a group is not forgotten while a transaction commits to it
		if kept == 0 && g.consumer != nil && len(g.consumer.members) == 0 && left > 0 {
			do.write(consumerTombstones(key, g.consumer)...)
			do.note("group expired", g)
			left--
		}
		if kept == 0 && g.streams != nil && len(g.streams.members) == 0 && left > 0 {
			do.write(streamsTombstones(key, g.streams)...)
			do.note("group expired", g)
			left--
		}
		if kept == 0 && g.state == empty && g.stored != nil && len(g.pendingJoin) == 0 && left > 0 {
			do.write(groupTombstone(key))
			do.note("group expired", g)
			left--
		}
	}
	next := now.Add(millis(s.settings().OffsetsRetentionCheckMillis))
	if left == 0 {
		next = now.Add(sweepPause)
	}
	s.timers.schedule(s.sweep, next)
}

// topicPartition names an offset of a group.
type topicPartition struct {
	topic     string
	partition int32
}

// expiredOf returns up to limit expired offsets of a group, in order, and how many others it has.
func (s *shard) expiredOf(g *group, now time.Time, limit int) (expired []topicPartition, kept int) {
	for topic, partitions := range g.offsets {
		for partition, o := range partitions {
			if len(expired) < limit && s.isExpired(g, topic, o, now) && !g.hasPending(topic, partition) {
				expired = append(expired, topicPartition{topic, partition})
			} else {
				kept++
			}
		}
	}
	slices.SortFunc(expired, func(a, b topicPartition) int {
		return cmp.Or(strings.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	})
	return expired, kept
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
	case g.protocolType == nil || g.consumer != nil || g.streams != nil:
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
