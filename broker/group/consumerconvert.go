package group

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// becomeConsumer puts another value in the place of a classic group with members, which undoing puts back as it was. The
// timers of the old one find that it is not the group any more.
func (s *shard) becomeConsumer(g *group) {
	s.replaceGroup(g)
	s.keep(func() {
		now := s.obtain(g.key)
		s.uncount(now)
		g.offsets, g.pending, g.next = now.offsets, now.pending, nil
		s.groups[g.key] = g
		s.count(g)
	})
}

// replaceGroup makes a group one of no members; its offsets, pending ones too, and what it is to become, stay.
func (s *shard) replaceGroup(g *group) {
	s.uncount(g)
	fresh := &group{key: g.key, stateChangedMillis: -1, news: g.news, offsets: g.offsets, pending: g.pending, next: g.next}
	s.telling = append(s.telling, announcement{g.news, nil})
	fresh.joinTimer, fresh.syncTimer = fresh.newTimer(nil), fresh.newTimer(nil)
	s.groups[g.key] = fresh
	s.count(fresh)
}

// dropStranded answers classic members of what is a consumer group again: it was to end, and somebody joined anew before
// that turned out to have failed.
func (s *shard) dropStranded(do *effects) {
	for _, g := range s.stranded {
		for len(g.members) > 0 {
			s.removeMember(g, g.members[0], do)
		}
		for id := range g.pendingJoin {
			s.dropPending(g, id)
		}
		s.timers.cancel(g.joinTimer)
		s.timers.cancel(g.syncTimer)
		g.state, g.protocolType = empty, nil
	}
	clear(s.stranded)
	s.stranded = s.stranded[:0]
}

// reviveConsumer gives the members of a group that was loaded their deadlines, and has its topics looked at.
func (s *shard) reviveConsumer(g *group, now time.Time) {
	c := g.consumer
	for _, m := range c.members {
		s.startConsumerSession(g.key, c, m, now)
		if m.classic == nil && m.state == memberUnrevoked {
			s.draft(g.key, c, now, &effects{}).watchRevocation(m)
		}
	}
	s.lookAtTopics(g.key, c, now)
}

// lookAgainAfter is when a change of topics that a group was told of is checked: what was written of it may have failed.
const lookAgainAfter = 5 * time.Second

// lookAtTopics has a group look at its topics at some time.
func (s *shard) lookAtTopics(key groupKey, c *consumerGroup, at time.Time) {
	c.looking.fire = func(now time.Time, do *effects) { s.refreshConsumer(key, nil, now, do) }
	s.timers.schedule(c.looking, at)
}

// onTopicsChanged assigns groups anew that subscribe to topics that came, went or grew.
func (s *shard) onTopicsChanged(e topicsChanged, now time.Time, do *effects) {
	do.Divisible = true // a group whose epoch is written without a target gets one at its next heartbeat
	for _, key := range s.sortedKeys() {
		s.refreshStreams(key, e)
		if g := s.groups[key]; key.tenant == e.tenant && g.consumer != nil && len(g.consumer.members) > 0 {
			s.refreshConsumer(key, e.names, now, do)
		}
	}
}

// refreshConsumer looks whether what a group subscribes to has changed. Regular expressions are matched anew where one of
// the names matches, or did; nil names are all. What was matched for somebody who is not here any more (the coordinator
// moved) waits for its next heartbeat, which says what may be seen.
func (s *shard) refreshConsumer(key groupKey, names map[string]bool, now time.Time, do *effects) {
	g := s.lookup(key)
	if g == nil || g.consumer == nil || len(g.consumer.members) == 0 {
		return
	}
	c := g.consumer
	d := s.draft(key, c, now, do)
	for _, regex := range sortedKeys(c.matchers) {
		allowed, known := c.allowed[regex]
		if !known || names != nil && !concerns(regex, c.regexes[regex], names) {
			continue
		}
		d.rematch(regex, allowed)
	}
	if names != nil && len(d.regexes) == 0 && !c.subscribesToAny(names) {
		return
	}
	if len(d.regexes) > 0 || d.hash() != c.metadataHash {
		do.note("topics of the group changed", g)
		d.bump()
		if s.mayAssign(d, now) {
			d.assign()
		}
		s.lookAtTopics(key, c, now.Add(lookAgainAfter))
	}
}

// rematch resolves a regular expression again and writes it when it matches other topics.
func (d *draft) rematch(regex string, allowed func(string) bool) (changed bool) {
	before, r := d.regex(regex), d.s.resolve(d.key.tenant, regex, allowed, d.now)
	if before != nil && slices.Equal(before.topics, r.topics) {
		return false
	}
	d.regexes[regex] = r
	d.do.write(consumerRegexRecord(d.key, regex, r))
	return true
}

func concerns(regex string, r *resolvedRegex, names map[string]bool) bool {
	compiled, err := compileRegex(regex)
	if err != nil {
		return false
	}
	for name := range names {
		if compiled.MatchString(name) || r != nil && r.matches(name) {
			return true
		}
	}
	return false
}

func (c *consumerGroup) subscribesToAny(names map[string]bool) bool {
	for name := range names {
		if c.isSubscribedTo(name) {
			return true
		}
	}
	return false
}

// validateConsumerCommit says whether a member of a consumer group may commit at all; each partition is looked at by
// staleCommit.
func (c *consumerGroup) validateCommit(memberID string, generation int32, version int16) *kerr.Error {
	if generation < 0 && len(c.members) == 0 {
		return nil
	}
	m := c.members[memberID]
	switch {
	case m == nil:
		return kerr.UnknownMemberID
	case m.classic == nil && version < 9:
		return kerr.UnsupportedVersion
	case m.classic != nil && generation != m.epoch:
		return kerr.IllegalGeneration
	case generation > m.epoch:
		return kerr.StaleMemberEpoch
	}
	return nil
}

// staleCommit refuses a commit of an epoch before the one in which the member got the partition (KIP-1251).
func (s *shard) staleCommit(g *group, memberID string, generation int32, topic string, partition int32) *kerr.Error {
	if g != nil && g.streams != nil {
		return g.streams.staleCommit(memberID, generation, topic, partition)
	}
	if g == nil || g.consumer == nil {
		return nil
	}
	m := g.consumer.members[memberID]
	if m == nil || m.classic != nil || generation == m.epoch {
		return nil
	}
	t, ok := s.topics().Topic(g.key.tenant, topic)
	if !ok {
		return kerr.StaleMemberEpoch
	}
	for _, h := range []held{m.assigned, m.revoking} {
		if since, has := h[t.ID][partition]; has && generation >= since {
			return nil
		}
	}
	return kerr.StaleMemberEpoch
}

// validateFetch says whether a member may fetch offsets; who claims to be none may.
func (c *consumerGroup) validateFetch(memberID *string, epoch int32) *kerr.Error {
	if memberID == nil && epoch < 0 {
		return nil
	}
	id := ""
	if memberID != nil {
		id = *memberID
	}
	m := c.members[id]
	switch {
	case m == nil:
		return kerr.UnknownMemberID
	case m.epoch == epoch:
		return nil
	case m.classic != nil:
		return kerr.IllegalGeneration
	}
	return kerr.StaleMemberEpoch
}
