package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// consumerLeave is a heartbeat of who leaves: for good, or, as a static member may, for the time being.
func (s *shard) consumerLeave(e consumerHeartbeatRequest, ticket coordinator.Ticket, now time.Time, do *effects) {
	g := s.lookup(e.key)
	if g == nil || g.consumer == nil {
		fault := refused(kerr.GroupIDNotFound, "Group %s not found.", e.key.id)
		if e.leavesUnnamed() {
			fault = instanceMissing()
		}
		do.replyNow(ticket, consumerHeartbeatError(fault.err, fault.message))
		return
	}
	c := g.consumer
	m, fault := c.leavingMember(e)
	if fault != nil {
		do.replyNow(ticket, consumerHeartbeatError(fault.err, fault.message))
		return
	}
	r := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	r.MemberID, r.MemberEpoch = &m.id, e.body.MemberEpoch
	if m.instanceID != nil && e.body.MemberEpoch == leftStatic {
		do.note("static member left for the time being", g, "member", m.id, "instance", *m.instanceID)
		left := *m
		left.epoch, left.revoking = leftStatic, nil
		do.write(consumerCurrentRecord(e.key, &left))
	} else {
		do.note("member left", g, "member", m.id)
		s.fence(g, m, now, do)
	}
	do.reply(ticket, r)
}

// leavesUnnamed reports whether a static member leaves for the time being and does not say its instance id. Kafka refuses
// that, but franz-go (1.22) does it, and could not come back before its session is over: the member id says who it is.
func (e consumerHeartbeatRequest) leavesUnnamed() bool {
	return e.body.MemberEpoch == leftStatic && e.body.InstanceID == nil
}

func instanceMissing() *refusal { return refused(kerr.InvalidRequest, "InstanceId can't be null.") }

func (c *consumerGroup) leavingMember(e consumerHeartbeatRequest) (*consumerMember, *refusal) {
	if e.body.InstanceID == nil {
		m := c.members[e.body.MemberID]
		switch {
		case e.leavesUnnamed() && (m == nil || m.instanceID == nil):
			return nil, instanceMissing()
		case m != nil:
			return m, nil
		}
		return nil, refused(kerr.UnknownMemberID, "Member %s is not a member of group %s.", e.body.MemberID, e.key.id)
	}
	m := c.members[c.static[*e.body.InstanceID]]
	switch {
	case m == nil:
		return nil, refused(kerr.UnknownMemberID, "Instance id %s is unknown.", *e.body.InstanceID)
	case m.id != e.body.MemberID:
		return nil, refused(kerr.FencedInstanceID, "Static member %s with instance id %s was fenced by member %s.", e.body.MemberID, *e.body.InstanceID, m.id)
	}
	return m, nil
}

// fence takes a member out. When only members of the classic protocol are left, the group becomes classic again.
func (s *shard) fence(g *group, m *consumerMember, now time.Time, do *effects) {
	s.fenceAll(g, []*consumerMember{m}, now, do)
}

func (s *shard) fenceAll(g *group, members []*consumerMember, now time.Time, do *effects) {
	c := g.consumer
	gone := make(map[string]bool, len(members))
	for _, m := range members {
		gone[m.id] = true
	}
	if s.mayDowngrade(c, gone, nil) {
		s.downgrade(g, gone, nil, now, do)
		return
	}
	d := s.draft(g.key, c, now, do)
	for _, m := range members {
		d.remove(m.id)
		s.cancelMember(c, m.id)
	}
	d.forgetRegexes()
	d.bump()
	if len(d.all()) > 0 && s.mayAssign(d, now) {
		d.assign()
	}
}

// forgetRegexes ends the regular expressions that nobody has any more.
func (d *draft) forgetRegexes() {
	used := make(map[string]bool)
	for _, m := range d.all() {
		used[m.regex] = true
	}
	for _, regex := range sortedKeys(d.before.regexes) {
		if !used[regex] {
			d.regexes[regex] = nil
			delete(d.before.allowed, regex)
			d.do.write(consumerMemberTombstone(consumerRegularExpressionKey, d.key, regex))
		}
	}
}

// startConsumerSession starts a member's session anew.
func (s *shard) startConsumerSession(key groupKey, c *consumerGroup, m *consumerMember, now time.Time) {
	timeout := s.consumerSettings(key).SessionTimeoutMillis
	if m.classic != nil {
		timeout = m.classic.sessionTimeoutMillis
	}
	t := c.timersOf(m.id).session
	t.fire = func(now time.Time, do *effects) { s.expireConsumer(key, m.id, "its session ended", now, do) }
	s.timers.schedule(t, now.Add(millis(timeout)))
}

// resumeSession gives a member a session whose removal was undone.
func (s *shard) resumeSession(key groupKey, c *consumerGroup, m *consumerMember) {
	if c.timersOf(m.id).session.index < 0 {
		s.startConsumerSession(key, c, m, s.now)
	}
}

// expireConsumer takes out a member that let a deadline pass.
func (s *shard) expireConsumer(key groupKey, id, reason string, now time.Time, do *effects) {
	g := s.lookup(key)
	if g == nil || g.consumer == nil || g.consumer.members[id] == nil {
		return
	}
	do.note("member failed", g, "member", id, "reason", reason)
	s.fence(g, g.consumer.members[id], now, do)
}

// watchRevocation gives a member its rebalance timeout to give up partitions.
func (d *draft) watchRevocation(m *consumerMember) {
	if m.classic != nil {
		return
	}
	t := d.before.timersOf(m.id).rebalance
	if m.state != memberUnrevoked {
		d.s.timers.cancel(t)
		return
	}
	epoch, id, s, key := m.epoch, m.id, d.s, d.key
	t.fire = func(now time.Time, do *effects) {
		g := s.lookup(key)
		if g == nil || g.consumer == nil || g.consumer.members[id] == nil || g.consumer.members[id].epoch != epoch {
			return
		}
		s.expireConsumer(key, id, "it did not give up partitions in time", now, do)
	}
	s.timers.schedule(t, d.now.Add(millis(m.rebalanceTimeoutMillis)))
}

// cancelMember ends a member's deadlines.
func (s *shard) cancelMember(c *consumerGroup, id string) {
	if t := c.soft[id]; t != nil {
		for _, x := range []*timer{t.session, t.rebalance, t.join, t.sync} {
			s.timers.cancel(x)
		}
		delete(c.soft, id)
	}
}
