package group

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// consumerHeartbeatRequest is a ConsumerGroupHeartbeat. newMemberID is for who comes without one (version 0); allowed says
// which topics the caller may see.
type consumerHeartbeatRequest struct {
	key         groupKey
	caller      Caller
	body        *kmsg.ConsumerGroupHeartbeatRequest
	newMemberID string
	allowed     func(topic string) bool
}

func consumerHeartbeatError(err *kerr.Error, message string) *kmsg.ConsumerGroupHeartbeatResponse {
	r := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	r.ErrorCode = err.Code
	if message == "" {
		message = err.Description
	}
	r.ErrorMessage = &message
	return r
}

// refusal is an error with its words.
type refusal struct {
	err     *kerr.Error
	message string
}

func refused(err *kerr.Error, format string, args ...any) *refusal {
	return &refusal{err, fmt.Sprintf(format, args...)}
}

// consumerHeartbeat decides what a heartbeat leads to, as Kafka's GroupMetadataManager.consumerGroupHeartbeat.
func (s *shard) consumerHeartbeat(e consumerHeartbeatRequest, ticket coordinator.Ticket, now time.Time, do *effects) {
	if e.body.MemberEpoch < 0 {
		s.consumerLeave(e, ticket, now, do)
		return
	}
	g, c, fault := s.consumerGroupFor(e, do)
	if fault != nil {
		do.replyNow(ticket, consumerHeartbeatError(fault.err, fault.message))
		return
	}
	d := s.draft(e.key, c, now, do)
	m, fault := d.memberFor(e)
	if fault != nil {
		do.Records = nil
		s.releaseLater(g)
		do.replyNow(ticket, consumerHeartbeatError(fault.err, fault.message))
		return
	}
	updated := updatedMember(m, e)
	resubscribed := d.update(m, updated, e)
	if d.epoch > d.assignmentEpoch && s.mayAssign(d, now) {
		d.assign()
	}
	next := d.reconcile(updated, e.body.Topics, resubscribed)
	s.startConsumerSession(e.key, c, next, now)
	answer := d.heartbeatAnswer(e, m, next)
	quiet := answer.Assignment == nil && next.isReconciled(d.epoch) && c.epoch == d.epoch && next.epoch == e.body.MemberEpoch
	switch regular := s.consumerSettings(e.key).HeartbeatIntervalMillis; {
	case e.caller.Unhurried:
		do.reply(ticket, answer)
	case quiet && g.isInTransaction():
		answer.HeartbeatIntervalMillis = HeldInterval(regular, false, false)
		do.reply(ticket, answer)
	case quiet:
		answer.HeartbeatIntervalMillis = regular
		do.reply(ticket, &heldHeartbeat{answer, c.news.watch()})
	default:
		do.reply(ticket, answer)
	}
}

// consumerGroupFor finds the group of a heartbeat. The first member's makes it; a classic group becomes one.
func (s *shard) consumerGroupFor(e consumerHeartbeatRequest, do *effects) (*group, *consumerGroup, *refusal) {
	joins := e.body.MemberEpoch == 0
	g := s.lookup(e.key)
	if g == nil && !joins {
		return nil, nil, refused(kerr.GroupIDNotFound, "Consumer group %s not found.", e.key.id)
	}
	if g == nil {
		g = s.obtain(e.key)
		s.releaseLater(g)
	}
	switch {
	case g.consumer != nil:
		return g, g.consumer, nil
	case !joins || !g.isClassic():
		return nil, nil, refused(kerr.GroupIDNotFound, "Group %s is not a consumer group.", e.key.id)
	}
	return s.upgrade(g, do)
}

// memberFor finds or makes the member of a heartbeat.
func (d *draft) memberFor(e consumerHeartbeatRequest) (*consumerMember, *refusal) {
	r := e.body
	id := r.MemberID
	if id == "" {
		id = e.newMemberID
	}
	if limit := int(d.s.settings().ConsumerMaxSize); len(d.before.members) >= limit && d.member(id) == nil {
		return nil, refused(kerr.GroupMaxSizeReached, "The consumer group has reached its maximum capacity of %d members.", limit)
	}
	if r.InstanceID != nil {
		return d.staticMemberFor(e, id)
	}
	m := d.member(id)
	if m == nil && r.MemberEpoch != 0 {
		return nil, refused(kerr.UnknownMemberID, "Member %s is not a member of group %s.", id, d.key.id)
	}
	if m == nil {
		d.do.note("member joins", d.group(), "member", id)
		return newConsumerMember(id), nil
	}
	return m, m.checkEpoch(r)
}

func newConsumerMember(id string) *consumerMember {
	return &consumerMember{id: id, state: memberStable, rebalanceTimeoutMillis: -1}
}

// staticMemberFor finds a member by its instance id. Who comes back under another member id takes the place of one that
// left for the time being, or that speaks the classic protocol.
func (d *draft) staticMemberFor(e consumerHeartbeatRequest, id string) (*consumerMember, *refusal) {
	instance := *e.body.InstanceID
	existing := d.before.members[d.before.static[instance]]
	switch {
	case e.body.MemberEpoch != 0 && existing == nil:
		return nil, refused(kerr.UnknownMemberID, "Instance id %s is unknown.", instance)
	case e.body.MemberEpoch != 0 && existing.id != id:
		return nil, refused(kerr.FencedInstanceID, "Static member %s with instance id %s was fenced by member %s.", id, instance, existing.id)
	case e.body.MemberEpoch != 0:
		return existing, existing.checkEpoch(e.body)
	case existing == nil:
		if m := d.member(id); m != nil {
			return m, nil
		}
		d.do.note("static member joins", d.group(), "member", id, "instance", instance)
		return newConsumerMember(id), nil
	case existing.classic == nil && existing.epoch != leftStatic:
		return nil, refused(kerr.UnreleasedInstanceID, "Static member %s with instance id %s cannot join the group because the instance id is owned by %s member.",
			id, instance, existing.id)
	}
	return d.replace(existing, id), nil
}

// replace gives a static member another id; what it is to have stays.
func (d *draft) replace(existing *consumerMember, id string) *consumerMember {
	d.do.note("static member comes back", d.group(), "member", id, "before", existing.id, "instance", *existing.instanceID)
	target := d.target(existing.id)
	d.remove(existing.id)
	renamed := *existing
	renamed.id, renamed.epoch, renamed.previousEpoch = id, 0, 0
	d.put(&renamed)
	d.targets[id] = target
	d.do.write(consumerTargetRecord(d.key, id, target), consumerCurrentRecord(d.key, &renamed))
	if id != existing.id {
		d.s.cancelMember(d.before, existing.id)
	}
	return &renamed
}

// checkEpoch fences who is not where it is known to be. The epoch before is fine when the answer with the last one may
// have been lost.
func (m *consumerMember) checkEpoch(r *kmsg.ConsumerGroupHeartbeatRequest) *refusal {
	switch {
	case r.MemberEpoch > m.epoch:
		return refused(kerr.FencedMemberEpoch, "The consumer group member has a greater member epoch (%d) than the one known by the group coordinator (%d). The member must abandon all its partitions and rejoin.", r.MemberEpoch, m.epoch)
	case r.MemberEpoch < m.epoch && (r.MemberEpoch != m.previousEpoch || !owned(r.Topics).isSubsetOf(m.assigned)):
		return refused(kerr.FencedMemberEpoch, "The consumer group member has a smaller member epoch (%d) than the one known by the group coordinator (%d). The member must abandon all its partitions and rejoin.", r.MemberEpoch, m.epoch)
	}
	return nil
}

// updatedMember takes over what the heartbeat says; what it leaves out stays.
func updatedMember(m *consumerMember, e consumerHeartbeatRequest) *consumerMember {
	r, u := e.body, *m
	if r.InstanceID != nil {
		u.instanceID = r.InstanceID
	}
	if r.RackID != nil {
		u.rackID = r.RackID
	}
	if r.RebalanceTimeoutMillis != -1 {
		u.rebalanceTimeoutMillis = r.RebalanceTimeoutMillis
	}
	if r.ServerAssignor != nil {
		u.assignorName = r.ServerAssignor
	}
	if r.SubscribedTopicNames != nil {
		u.topics = slices.Compact(slices.Sorted(slices.Values(r.SubscribedTopicNames)))
	}
	if r.SubscribedTopicRegex != nil {
		u.regex = *r.SubscribedTopicRegex
	}
	u.clientID, u.clientHost, u.classic = e.caller.ClientID, e.caller.ClientHost, nil
	return &u
}

// describesSame reports whether two say the same of themselves.
func (m *consumerMember) describesSame(other *consumerMember) bool {
	return sameText(m.instanceID, other.instanceID) && sameText(m.rackID, other.rackID) && sameText(m.assignorName, other.assignorName) &&
		m.clientID == other.clientID && m.clientHost == other.clientHost && m.regex == other.regex &&
		m.rebalanceTimeoutMillis == other.rebalanceTimeoutMillis && slices.Equal(m.topics, other.topics) && m.classic.equal(other.classic)
}

func (c *classicMetadata) equal(other *classicMetadata) bool {
	if c == nil || other == nil {
		return c == other
	}
	return c.sessionTimeoutMillis == other.sessionTimeoutMillis &&
		slices.EqualFunc(c.protocols, other.protocols, func(a, b kmsg.JoinGroupRequestProtocol) bool {
			return a.Name == b.Name && string(a.Metadata) == string(b.Metadata)
		})
}

func sameText(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }

// update writes a member that is new or says something else of itself, and raises the group's epoch when that, or a topic,
// calls for another assignment. It reports whether the member subscribes to something else.
func (d *draft) update(before, m *consumerMember, e consumerHeartbeatRequest) (resubscribed bool) {
	known := d.member(m.id) != nil
	if !known || !m.describesSame(before) {
		d.put(m)
	} else {
		d.members[m.id] = m
	}
	topicsChanged := !slices.Equal(before.topics, m.topics)
	regexChanged, rematched := d.updateRegex(before, m, e)
	if d.epoch == 0 && d.creationMillis == -1 {
		d.creationMillis = d.now.UnixMilli()
	}
	if d.epoch == 0 || !known || topicsChanged || regexChanged || rematched {
		d.bump()
	}
	return topicsChanged || regexChanged
}

// updateRegex resolves a regular expression that nobody had, and forgets one that nobody has any more. One that was resolved
// by another coordinator is matched again: this one has not heard of topics that came since.
func (d *draft) updateRegex(before, m *consumerMember, e consumerHeartbeatRequest) (changed, rematched bool) {
	c := d.before
	if before.regex != m.regex && before.regex != "" && c.matchers[before.regex] == 1 && c.regexes[before.regex] != nil {
		d.regexes[before.regex] = nil
		delete(c.allowed, before.regex)
		d.do.write(consumerMemberTombstone(consumerRegularExpressionKey, d.key, before.regex))
	}
	if m.regex == "" {
		return before.regex != "", false
	}
	_, known := c.allowed[m.regex]
	c.allowed[m.regex] = e.allowed
	if d.regex(m.regex) == nil {
		r := d.s.resolve(d.key.tenant, m.regex, e.allowed, d.now)
		d.regexes[m.regex] = r
		d.do.write(consumerRegexRecord(d.key, m.regex, r))
		return true, false
	}
	return before.regex != m.regex, !known && d.rematch(m.regex, e.allowed)
}

// heartbeatAnswer tells a member its epoch, and its partitions when they changed or when it told everything of itself.
func (d *draft) heartbeatAnswer(e consumerHeartbeatRequest, before, m *consumerMember) *kmsg.ConsumerGroupHeartbeatResponse {
	r, answer := e.body, kmsg.NewPtrConsumerGroupHeartbeatResponse()
	answer.MemberID, answer.MemberEpoch = &m.id, m.epoch
	answer.HeartbeatIntervalMillis = d.heartbeatInterval(m, e.caller.Unhurried)
	full := r.RebalanceTimeoutMillis != -1 && (r.SubscribedTopicNames != nil || r.SubscribedTopicRegex != nil) && r.Topics != nil
	if r.MemberEpoch == 0 || full || !m.assigned.equal(before.assigned) {
		answer.Assignment = answerAssignment(m.assigned)
	}
	return answer
}

func answerAssignment(h held) *kmsg.ConsumerGroupHeartbeatResponseAssignment {
	a := &kmsg.ConsumerGroupHeartbeatResponseAssignment{}
	partitions := h.partitions()
	for _, id := range sortedIDs(partitions) {
		a.Topics = append(a.Topics, kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic{TopicID: id, Partitions: partitions[id]})
	}
	return a
}

func (d *draft) group() *group { return d.s.lookup(d.key) }

func compareStrings(a, b string) int { return strings.Compare(a, b) }
