package group

import (
	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/group/assignor"
)

// replayConsumer applies a record of a consumer group. A tombstone of what is not there is nothing.
func (s *shard) replayConsumer(key parsedKey, value []byte) error {
	if value == nil {
		s.replayNoConsumer(key)
		return nil
	}
	switch key.kind {
	case consumerMetadataKey:
		epoch, hash, created, err := parseConsumerEpoch(value)
		if err != nil {
			return err
		}
		s.changeConsumer(key.group, func(c *consumerGroup) { c.epoch, c.metadataHash, c.creationMillis = epoch, hash, created })
	case consumerPartitionsKey:
		s.changeConsumer(key.group, func(c *consumerGroup) { c.oldMetadata = true })
	case consumerMemberKey:
		m := s.memberToChange(key)
		if err := parseConsumerMember(value, m); err != nil {
			return err
		}
		s.replayMember(key, m)
	case consumerTargetMetadataKey:
		epoch, millis, err := parseTargetEpoch(value, "ConsumerGroupTargetAssignmentMetadataValue")
		if err != nil {
			return err
		}
		s.changeConsumer(key.group, func(c *consumerGroup) { c.setAssignment(epoch, millis) })
	case consumerTargetMemberKey:
		target, err := parseConsumerTarget(value)
		if err != nil {
			return err
		}
		s.replayTarget(key, target)
	case consumerCurrentKey:
		m := s.memberToChange(key)
		if err := parseConsumerCurrent(value, m); err != nil {
			return err
		}
		s.replayMember(key, m)
	case consumerRegularExpressionKey:
		r, err := parseConsumerRegex(value)
		if err != nil {
			return err
		}
		s.replayRegex(key, r)
	}
	return nil
}

// replayNoConsumer applies a tombstone.
func (s *shard) replayNoConsumer(key parsedKey) {
	g := s.lookup(key.group)
	if g == nil || g.consumer == nil {
		return
	}
	c := g.consumer
	switch key.kind {
	case consumerMetadataKey:
		s.setConsumer(g, nil)
		s.release(g)
		s.keep(func() {
			g := s.obtain(key.group)
			s.setConsumer(g, c)
			if len(g.members) > 0 || len(g.pendingJoin) > 0 {
				s.stranded = append(s.stranded, g)
			}
		})
	case consumerPartitionsKey:
		s.changeConsumer(key.group, func(c *consumerGroup) { c.oldMetadata = false })
	case consumerMemberKey:
		s.replayMember(key, nil)
	case consumerTargetMetadataKey:
		s.changeConsumer(key.group, func(c *consumerGroup) { c.setAssignment(0, 0) })
	case consumerTargetMemberKey:
		s.replayTarget(key, nil)
	case consumerCurrentKey:
		if m := c.members[key.member]; m != nil {
			reset := *m
			reset.epoch, reset.previousEpoch, reset.state, reset.assigned, reset.revoking = leaving, leaving, memberStable, nil, nil
			s.replayMember(key, &reset)
		}
	case consumerRegularExpressionKey:
		s.replayRegex(key, nil)
	}
}

// setConsumer makes a group one of the consumer protocol, or takes that away.
func (s *shard) setConsumer(g *group, c *consumerGroup) {
	s.uncount(g)
	if g.consumer != nil {
		s.telling = append(s.telling, announcement{g.consumer.news, nil})
	}
	g.consumer = c
	s.count(g)
}

// obtainConsumer returns the group of the consumer protocol, which it makes if there is none.
func (s *shard) obtainConsumer(key groupKey) (*group, *consumerGroup) {
	g := s.obtain(key)
	if g.consumer == nil {
		c := g.next
		if c == nil {
			c = newConsumerGroup()
		}
		g.next = nil
		s.setConsumer(g, c)
		s.keep(func() {
			g := s.obtain(key)
			s.setConsumer(g, nil)
			s.release(g)
		})
	}
	return g, g.consumer
}

// changeConsumer changes what a group has of its own, which undoing puts back.
func (s *shard) changeConsumer(key groupKey, change func(*consumerGroup)) {
	g, c := s.obtainConsumer(key)
	epoch, hash, created, assignment, millis, old := c.epoch, c.metadataHash, c.creationMillis, c.assignmentEpoch, c.assignmentMillis, c.oldMetadata
	s.changing(g, func() { change(c) })
	if c.assignmentEpoch != assignment {
		s.telling = append(s.telling, announcement{c.news, nil})
	}
	s.keep(func() {
		s.changing(s.obtain(key), func() {
			c.epoch, c.metadataHash, c.creationMillis, c.oldMetadata = epoch, hash, created, old
			c.setAssignment(assignment, millis)
		})
	})
}

// changing keeps the figures of states while a group changes.
func (s *shard) changing(g *group, change func()) {
	s.uncount(g)
	change()
	s.count(g)
}

// memberToChange is a copy of the member, or a new one.
func (s *shard) memberToChange(key parsedKey) *consumerMember {
	if g := s.lookup(key.group); g != nil && g.consumer != nil {
		if m := g.consumer.members[key.member]; m != nil {
			changed := *m
			changed.classic = m.classic
			return &changed
		}
	}
	return &consumerMember{id: key.member, state: memberStable, rebalanceTimeoutMillis: -1}
}

func (s *shard) replayMember(key parsedKey, m *consumerMember) {
	g, c := s.obtainConsumer(key.group)
	before := c.members[key.member]
	s.changing(g, func() { c.setMember(key.member, m) })
	s.keep(func() {
		s.changing(s.obtain(key.group), func() { c.setMember(key.member, before) })
		if before != nil {
			s.resumeSession(key.group, c, before) // its deadlines may be gone
		}
	})
}

func (s *shard) replayTarget(key parsedKey, target assignor.Partitions) {
	_, c := s.obtainConsumer(key.group)
	before, had := c.target[key.member]
	set := func(target assignor.Partitions, there bool) {
		if there {
			c.target[key.member] = target
		} else {
			delete(c.target, key.member)
		}
	}
	set(target, target != nil)
	s.keep(func() { set(before, had) })
}

func (s *shard) replayRegex(key parsedKey, r *resolvedRegex) {
	_, c := s.obtainConsumer(key.group)
	before := c.regexes[key.member]
	set := func(r *resolvedRegex) {
		if r != nil {
			c.regexes[key.member] = r
		} else {
			delete(c.regexes, key.member)
		}
	}
	set(r)
	s.keep(func() { set(before) })
}

// consumerTombstones end a consumer group, in the order that Kafka writes them.
func consumerTombstones(key groupKey, c *consumerGroup) []coordinator.Record {
	var records []coordinator.Record
	for _, id := range sortedMembers(c) {
		records = append(records, consumerMemberTombstone(consumerCurrentKey, key, id))
	}
	for _, id := range sortedMembers(c) {
		records = append(records, consumerMemberTombstone(consumerTargetMemberKey, key, id))
	}
	records = append(records, consumerTombstone(consumerTargetMetadataKey, key))
	for _, id := range sortedMembers(c) {
		records = append(records, consumerMemberTombstone(consumerMemberKey, key, id))
	}
	for _, regex := range sortedKeys(c.regexes) {
		records = append(records, consumerMemberTombstone(consumerRegularExpressionKey, key, regex))
	}
	if c.oldMetadata {
		records = append(records, consumerTombstone(consumerPartitionsKey, key))
	}
	return append(records, consumerTombstone(consumerMetadataKey, key))
}
