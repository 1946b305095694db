package group

import (
	"time"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// replayShare applies a record of a share group.
func (s *shard) replayShare(key parsedKey, value []byte) error {
	before := s.shareOf(key.group)
	if before == nil && value == nil {
		return nil // a tombstone of what is not there is nothing
	}
	if key.kind == shareMetadataKey && value == nil {
		s.putShare(key.group, nil)
		return nil
	}
	next := before.clone()
	if err := next.replay(key, value); err != nil {
		return err
	}
	s.putShare(key.group, next)
	return nil
}

func (s *shard) shareOf(key groupKey) *shareGroup {
	if g := s.lookup(key); g != nil {
		return g.share
	}
	return nil
}

// putShare makes a group the share group, or, nil, none.
func (s *shard) putShare(key groupKey, next *shareGroup) {
	g := s.obtain(key)
	before := g.share
	s.changing(g, func() { g.share = next })
	if next == nil {
		s.timers.cancel(s.shareTimersOf(key).assign)
		delete(s.shares, key)
	}
	s.release(g)
	s.keep(func() {
		g := s.obtain(key)
		s.changing(g, func() { g.share = before })
		s.resumeShareSessions(g)
		s.release(g)
	})
}

// replay applies a record to a clone.
func (g *shareGroup) replay(key parsedKey, value []byte) (err error) {
	switch key.kind {
	case shareMetadataKey:
		g.epoch, g.metadataHash, err = parseShareEpoch(value)
	case shareTargetMetadataKey:
		g.assignmentEpoch, g.assignmentMillis = 0, 0
		if value != nil {
			g.assignmentEpoch, g.assignmentMillis, err = parseTargetEpoch(value, "ShareGroupTargetAssignmentMetadataValue")
		}
	case shareTargetMemberKey:
		if delete(g.target, key.member); value != nil {
			g.target[key.member], err = parseShareTarget(value)
		}
	case shareStatesKey:
		g.states = shareStates{}
		if value != nil {
			g.states, err = parseShareStates(value)
		}
	case shareMemberKey:
		if value == nil {
			delete(g.members, key.member)
			return nil
		}
		err = parseShareMember(value, g.change(key.member))
	case shareCurrentKey:
		m := g.members[key.member]
		if value == nil && m == nil {
			return nil
		}
		m = g.change(key.member)
		m.epoch, m.previousEpoch, m.assigned = leaving, leaving, nil
		if value != nil {
			err = parseShareCurrent(value, m)
		}
	}
	return err
}

// change puts a copy in the place of a member, which may be changed.
func (g *shareGroup) change(id string) *shareMember {
	m := &shareMember{id: id}
	if before := g.members[id]; before != nil {
		*m = *before
	}
	g.members[id] = m
	return m
}

// reviveShare gives the members of a group that was loaded a session to come back in.
func (s *shard) reviveShare(g *group, now time.Time) {
	for id := range g.share.members {
		s.startShareSession(g.key, id, now)
	}
}

// resumeShareSessions gives those a session whose removal was undone.
func (s *shard) resumeShareSessions(g *group) {
	if g.share == nil {
		return
	}
	for id := range g.share.members {
		if t := s.shareTimersOf(g.key).sessions[id]; t == nil || t.index < 0 {
			s.startShareSession(g.key, id, s.now)
		}
	}
}

// shareTombstones end a share group, in the order that Kafka writes them.
func shareTombstones(key groupKey, g *shareGroup) []coordinator.Record {
	var records []coordinator.Record
	for _, kind := range []uint16{shareCurrentKey, shareTargetMemberKey, shareMemberKey} {
		for _, id := range sortedKeys(g.members) {
			records = append(records, consumerMemberTombstone(kind, key, id))
		}
		if kind == shareTargetMemberKey {
			records = append(records, consumerTombstone(shareTargetMetadataKey, key))
		}
	}
	if !g.states.isEmpty() {
		records = append(records, consumerTombstone(shareStatesKey, key))
	}
	return append(records, consumerTombstone(shareMetadataKey, key))
}
