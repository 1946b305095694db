package group

import (
	"time"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// replayStreams applies a record of a streams group. A tombstone of what is not there is nothing.
func (s *shard) replayStreams(key parsedKey, value []byte) error {
	if value == nil {
		s.replayNoStreams(key)
		return nil
	}
	switch key.kind {
	case streamsMetadataKey:
		e, err := parseStreamsEpoch(value)
		if err != nil {
			return err
		}
		s.setStreams(key.group, func(g *streamsGroup) {
			g.epoch, g.metadataHash, g.validated, g.configs = e.epoch, e.hash, e.validated, e.configs
		})
	case streamsTopologyKey:
		t, err := parseStreamsTopology(value)
		if err != nil {
			return err
		}
		s.setStreams(key.group, func(g *streamsGroup) { g.topology = t })
	case streamsTargetMetadataKey:
		epoch, millis, err := parseTargetEpoch(value, "StreamsGroupTargetAssignmentMetadataValue")
		if err != nil {
			return err
		}
		s.setStreams(key.group, func(g *streamsGroup) { g.setAssignment(epoch, millis) })
	case streamsTargetMemberKey:
		target, err := parseStreamsTarget(value)
		if err != nil {
			return err
		}
		s.replayStreamsTarget(key, target, true)
	case streamsMemberKey:
		m := s.streamsMemberToChange(key)
		if err := parseStreamsMember(value, m); err != nil {
			return err
		}
		s.replayStreamsMember(key, m)
	case streamsCurrentKey:
		m := s.streamsMemberToChange(key)
		if err := parseStreamsCurrent(value, m); err != nil {
			return err
		}
		s.replayStreamsMember(key, m)
	}
	return nil
}

func (s *shard) replayNoStreams(key parsedKey) {
	g := s.streamsOf(key.group)
	if g == nil {
		return
	}
	switch key.kind {
	case streamsMetadataKey:
		s.endStreams(key.group, g)
	case streamsTopologyKey:
		s.setStreams(key.group, func(g *streamsGroup) { g.topology = nil })
	case streamsTargetMetadataKey:
		s.setStreams(key.group, func(g *streamsGroup) { g.setAssignment(-1, 0) })
	case streamsTargetMemberKey:
		s.replayStreamsTarget(key, tasks{}, false)
	case streamsMemberKey:
		s.replayStreamsMember(key, nil)
	case streamsCurrentKey:
		if g.members[key.member] != nil {
			m := s.streamsMemberToChange(key)
			m.epoch, m.previousEpoch, m.state, m.assigned, m.revoking = leaving, leaving, memberStable, tasks{}, tasks{}
			s.replayStreamsMember(key, m)
		}
	}
}

func (s *shard) streamsOf(key groupKey) *streamsGroup {
	if g := s.lookup(key); g != nil {
		return g.streams
	}
	return nil
}

// endStreams makes a group one that is no streams group.
func (s *shard) endStreams(key groupKey, before *streamsGroup) {
	g := s.obtain(key)
	s.changing(g, func() { g.streams = nil })
	s.dropStreamsSoft(key)
	s.release(g)
	s.keep(func() {
		g := s.obtain(key)
		s.changing(g, func() { g.streams = before })
		if len(g.members) > 0 || len(g.pendingJoin) > 0 {
			s.stranded = append(s.stranded, g)
		}
	})
}

// changeStreams changes a group, which is made if there is none; undo takes back what change did besides what the group has
// of its own.
func (s *shard) changeStreams(key groupKey, change func(*streamsGroup) (undo func())) {
	g := s.obtain(key)
	made := g.streams == nil
	if made {
		s.changing(g, func() { g.streams = newStreamsGroup() })
	}
	x := g.streams
	before := *x
	undo := func() {}
	s.changing(g, func() { undo = change(x) })
	s.keep(func() {
		g := s.obtain(key)
		s.changing(g, func() {
			undo()
			x.epoch, x.metadataHash, x.validated, x.configs, x.topology = before.epoch, before.metadataHash, before.validated, before.configs, before.topology
			x.setAssignment(before.assignmentEpoch, before.assignmentMillis)
			if made {
				g.streams = nil
			}
		})
		s.release(g)
	})
}

// setStreams changes what a group has of its own.
func (s *shard) setStreams(key groupKey, set func(*streamsGroup)) {
	s.changeStreams(key, func(g *streamsGroup) func() {
		set(g)
		return func() {}
	})
}

func (s *shard) replayStreamsTarget(key parsedKey, target tasks, there bool) {
	s.changeStreams(key.group, func(g *streamsGroup) func() {
		before, had := g.target[key.member]
		set := func(target tasks, there bool) {
			if delete(g.target, key.member); there {
				g.target[key.member] = target
			}
		}
		set(target, there)
		return func() { set(before, had) }
	})
}

// replayStreamsMember puts a member in the place of the one before; nil takes it out.
func (s *shard) replayStreamsMember(key parsedKey, m *streamsMember) {
	s.changeStreams(key.group, func(g *streamsGroup) func() {
		before := g.members[key.member]
		if g.setMember(key.member, m); len(g.members) == 0 {
			s.streamsSoftOf(key.group).shutdownBy = "" // the application has ended
		}
		return func() {
			g.setMember(key.member, before)
			if t := s.streamsSoftOf(key.group).sessions[key.member]; before != nil && (t == nil || t.index < 0) {
				s.startStreamsSession(key.group, key.member, s.now) // its deadlines are gone
			}
		}
	})
}

// streamsMemberToChange is a copy of the member, or a new one.
func (s *shard) streamsMemberToChange(key parsedKey) *streamsMember {
	if g := s.streamsOf(key.group); g != nil && g.members[key.member] != nil {
		changed := *g.members[key.member]
		return &changed
	}
	return newStreamsMember(key.member)
}

// reviveStreams gives the members of a group that was loaded their deadlines.
func (s *shard) reviveStreams(g *group, now time.Time) {
	for id, m := range g.streams.members {
		s.startStreamsSession(g.key, id, now)
		s.watchStreamsRevocation(g.key, m, now)
	}
}

// streamsTombstones end a streams group, in the order that Kafka writes them.
func streamsTombstones(key groupKey, g *streamsGroup) []coordinator.Record {
	var records []coordinator.Record
	for _, kind := range []uint16{streamsCurrentKey, streamsTargetMemberKey, streamsMemberKey} {
		for _, id := range sortedKeys(g.members) {
			records = append(records, consumerMemberTombstone(kind, key, id))
		}
		if kind == streamsTargetMemberKey {
			records = append(records, consumerTombstone(streamsTargetMetadataKey, key))
		}
	}
	return append(records, consumerTombstone(streamsMetadataKey, key), consumerTombstone(streamsTopologyKey, key))
}
