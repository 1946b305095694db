package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// Replay implements coordinator.Shard: the only place where offsets and stored groups change, live and at load.
// Records of types that are not known are what newer versions or other group protocols wrote; they are skipped.
func (s *shard) Replay(record coordinator.Record) error {
	key, err := parseKey(record.Key)
	if err != nil || !key.known {
		return err
	}
	if key.isOffset {
		if record.Value == nil {
			s.replayNoOffset(key)
			return nil
		}
		o, err := parseOffset(record.Value)
		if err != nil {
			return err
		}
		o.order = s.nextOrder()
		s.replayOffset(key, o)
		return nil
	}
	if isShareKey(key.kind) {
		return s.replayShare(key, record.Value)
	}
	if isStreamsKey(key.kind) {
		return s.replayStreams(key, record.Value)
	}
	if key.kind != groupMetadataKey {
		return s.replayConsumer(key, record.Value)
	}
	if record.Value == nil {
		s.replayNoGroup(key.group)
		return nil
	}
	stored, err := parseGroup(record.Value)
	if err != nil {
		return err
	}
	s.replayGroup(key.group, stored)
	return nil
}

// The undo steps look groups up again: a group that was forgotten and made anew in between is another value.

func (s *shard) replayOffset(key parsedKey, o committedOffset) {
	g := s.obtain(key.group)
	before, had := g.offsets[key.topic][key.partition]
	s.setOffset(g, key.topic, key.partition, &o)
	s.keep(func() {
		g := s.obtain(key.group)
		if had {
			s.setOffset(g, key.topic, key.partition, &before)
		} else {
			s.setOffset(g, key.topic, key.partition, nil)
		}
		s.release(g)
	})
}

func (s *shard) replayNoOffset(key parsedKey) {
	g := s.lookup(key.group)
	if g == nil {
		return
	}
	s.forgetPending(g, topicPartition{key.topic, key.partition})
	if before, had := g.offsets[key.topic][key.partition]; had {
		s.setOffset(g, key.topic, key.partition, nil)
		s.keep(func() { s.setOffset(s.obtain(key.group), key.topic, key.partition, &before) })
	}
	s.release(g)
}

func (s *shard) replayGroup(key groupKey, stored *storedGroup) {
	g := s.obtain(key)
	before := g.stored
	g.stored = stored
	if s.keeping && len(stored.members) > 0 && len(g.members) == 0 && g.state == empty {
		s.revive(g, s.now) // a consumer group became classic
		s.keep(func() { s.replaceGroup(s.obtain(key)) })
	}
	s.keep(func() {
		g := s.obtain(key)
		g.stored = before
		s.release(g)
	})
}

// replayNoGroup ends a group. Live, it has no members then, or becomes a consumer group.
func (s *shard) replayNoGroup(key groupKey) {
	g := s.lookup(key)
	if g == nil {
		return
	}
	if s.keeping && g.next != nil {
		s.becomeConsumer(g)
		return
	}
	before := *g
	g.stored, g.protocolType, g.protocol, g.leader, g.generation, g.stateChangedMillis = nil, nil, nil, nil, 0, -1
	g.topics, g.topicsKnown = nil, false
	s.release(g)
	s.keep(func() {
		g := s.obtain(key)
		g.stored = before.stored
		if len(g.members) > 0 || len(g.pendingJoin) > 0 {
			return // somebody started the group anew; the log still has the old one until they are through
		}
		g.protocolType, g.protocol, g.leader, g.generation = before.protocolType, before.protocol, before.leader, before.generation
		g.stateChangedMillis, g.topics, g.topicsKnown = before.stateChangedMillis, before.topics, before.topicsKnown
	})
}

// setOffset changes one offset; nil removes it.
func (s *shard) setOffset(g *group, topic string, partition int32, o *committedOffset) {
	partitions := g.offsets[topic]
	_, had := partitions[partition]
	switch {
	case o != nil:
		if g.offsets == nil {
			g.offsets = make(map[string]map[int32]committedOffset)
		}
		if partitions == nil {
			partitions = make(map[int32]committedOffset)
			g.offsets[topic] = partitions
		}
		partitions[partition] = *o
		if !had {
			s.figures.offsets++
		}
	case had:
		delete(partitions, partition)
		if len(partitions) == 0 {
			delete(g.offsets, topic)
		}
		s.figures.offsets--
	}
}

func (s *shard) keep(undo func()) {
	if s.keeping {
		s.journal = append(s.journal, undo)
	}
}

// Begin implements coordinator.Shard.
func (s *shard) Begin() { s.keeping = true }

// Commit implements coordinator.Shard.
func (s *shard) Commit() {
	clear(s.journal)
	s.journal, s.keeping = s.journal[:0], false
}

// Rollback implements coordinator.Shard.
func (s *shard) Rollback() {
	s.keeping = false
	for i := len(s.journal) - 1; i >= 0; i-- {
		s.journal[i]()
	}
	clear(s.journal)
	s.journal = s.journal[:0]
}

// Loaded implements coordinator.Shard: the members of each group's last generation get a session to come back in.
func (s *shard) Loaded(now time.Time) {
	s.now = now
	for _, g := range s.groups {
		if g.stored != nil {
			s.revive(g, now)
			s.gatherRest(g, now)
		}
		if g.consumer != nil {
			s.reviveConsumer(g, now)
		}
		if g.share != nil {
			s.reviveShare(g, now)
		}
		if g.streams != nil {
			s.reviveStreams(g, now)
		}
	}
	s.watchOffsets(now)
}

// revive makes the group what its record says: Stable with its members, or Empty.
func (s *shard) revive(g *group, now time.Time) {
	stored := g.stored
	g.generation, g.protocol, g.leader, g.stateChangedMillis = stored.generation, stored.protocol, stored.leader, stored.stateChangedMillis
	if stored.protocolType != "" {
		g.protocolType = &stored.protocolType
	}
	protocol := ""
	if stored.protocol != nil {
		protocol = *stored.protocol
	}
	for i := range stored.members {
		m := memberOf(&stored.members[i], protocol)
		if g.byID[m.id] != nil {
			continue // impossible in what we wrote; the first one counts
		}
		g.ensureMaps()
		g.add(m, stored.protocolType)
		s.startSession(g, m, millis(m.sessionTimeoutMillis), now)
	}
	if len(g.members) > 0 {
		if g.byID[g.leaderID()] == nil {
			g.leader = &g.members[0].id
		}
		s.uncount(g)
		g.state, g.previous = stable, completingRebalance
		s.count(g)
	}
	g.learnTopics()
}

// gatherRest has the members of a generation join again that others had left when it was written last (forgetLeft).
func (s *shard) gatherRest(g *group, now time.Time) {
	if len(g.members) == 0 || g.stored.leader != nil {
		return
	}
	g.joinTimer.fire = func(now time.Time, do *effects) {
		if g.state == stable {
			s.prepareRebalance(g, "members had left", now, do)
		}
	}
	s.timers.schedule(g.joinTimer, now)
}

func memberOf(stored *storedMember, protocol string) *member {
	return &member{
		id: stored.id, instanceID: stored.instanceID, clientID: stored.clientID, clientHost: stored.clientHost,
		rebalanceTimeoutMillis: stored.rebalanceTimeoutMillis, sessionTimeoutMillis: stored.sessionTimeoutMillis,
		protocols:  []kmsg.JoinGroupRequestProtocol{{Name: protocol, Metadata: stored.subscription}},
		assignment: stored.assignment,
	}
}

// ensureMaps makes what a group without members does not need: most groups of a large cluster only hold offsets.
func (g *group) ensureMaps() {
	if g.byID == nil {
		g.byID = make(map[string]*member)
		g.static = make(map[string]string)
		g.pendingJoin = make(map[string]*timer)
		g.pendingSync = make(map[string]bool)
	}
}
