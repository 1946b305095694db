package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// Members of the classic protocol in a consumer group: what a JoinGroup, SyncGroup, Heartbeat and LeaveGroup of theirs
// mean there. A member's epoch is its generation; it learns by Heartbeat that it has to join again, to give up partitions
// or to be given some. Kafka: GroupMetadataManager.classicGroupJoinToConsumerGroup and its like.

// joinConsumer is a JoinGroup of a classic member. It is answered as soon as its outcome is committed: there is nobody to
// wait for.
func (s *shard) joinConsumer(g *group, e joinRequest, ticket coordinator.Ticket, now time.Time, do *effects) {
	r, c := e.body, g.consumer
	id := r.MemberID
	if id == "" {
		id = e.newMemberID
	}
	if fault := s.refuseJoin(c, e, id); fault != nil {
		do.replyNow(ticket, joinError(r.MemberID, fault))
		return
	}
	if r.MemberID == "" && r.InstanceID == nil && r.Version >= 4 {
		do.replyNow(ticket, joinError(id, kerr.MemberIDRequired))
		return
	}
	subscription, err := readSubscription(r.Protocols[0].Metadata)
	if err != nil {
		do.replyNow(ticket, joinError(r.MemberID, kerr.InconsistentGroupProtocol))
		return
	}
	d := s.draft(e.key, c, now, do)
	replaced := c.replacedBy(r)
	before, fault := d.classicMemberFor(e, id)
	if fault != nil {
		do.Records = nil
		do.replyNow(ticket, joinError(r.MemberID, fault))
		return
	}
	m := classicUpdate(before, e, subscription)
	resubscribed := d.update(before, m, consumerHeartbeatRequest{})
	if replaced != nil && s.mayDowngrade(c, map[string]bool{replaced.id: true}, m) {
		do.Records = nil
		s.downgrade(g, map[string]bool{replaced.id: true}, m, now, do)
		s.cancelMember(c, id)
		do.reply(ticket, classicJoined(m, c.epoch))
		return
	}
	if d.epoch > d.assignmentEpoch && s.mayAssign(d, now) {
		d.assign()
	}
	next := d.reconcile(m, s.ownedBy(e.key.tenant, subscription), resubscribed)
	s.timers.cancel(c.timersOf(id).join)
	s.startConsumerSession(e.key, c, next, now)
	s.expectOf(c.timersOf(id).sync, e.key, id, "it did not send SyncGroup in time", m.rebalanceTimeoutMillis, now)
	do.reply(ticket, classicJoined(next, next.epoch))
}

func (s *shard) refuseJoin(c *consumerGroup, e joinRequest, id string) *kerr.Error {
	switch {
	case len(c.members) >= int(s.settings().ConsumerMaxSize) && c.members[id] == nil:
		return kerr.GroupMaxSizeReached
	case !c.supportsClassic(e.body):
		return kerr.InconsistentGroupProtocol
	}
	return nil
}

// supportsClassic reports whether all classic members speak one of the protocols.
func (c *consumerGroup) supportsClassic(r *kmsg.JoinGroupRequest) bool {
	if r.ProtocolType != consumerProtocolType || len(r.Protocols) == 0 {
		return false
	}
	for _, p := range r.Protocols {
		speakers := 0
		for _, m := range c.members {
			if m.classic != nil && protocolMetadata(m, p.Name) != nil {
				speakers++
			}
		}
		if speakers == c.classicCount {
			return true
		}
	}
	return false
}

// replacedBy is the static member whose place a JoinGroup without a member id takes.
func (c *consumerGroup) replacedBy(r *kmsg.JoinGroupRequest) *consumerMember {
	if r.InstanceID == nil || r.MemberID != "" {
		return nil
	}
	return c.members[c.static[*r.InstanceID]]
}

func (d *draft) classicMemberFor(e joinRequest, id string) (*consumerMember, *kerr.Error) {
	instance := e.body.InstanceID
	if instance == nil {
		if m := d.member(id); m != nil {
			return m, nil
		}
		return newConsumerMember(id), nil
	}
	existing := d.before.members[d.before.static[*instance]]
	switch {
	case e.body.MemberID != "" && existing == nil:
		return nil, kerr.UnknownMemberID
	case e.body.MemberID != "" && existing.id != id:
		return nil, kerr.FencedInstanceID
	case existing == nil:
		return newConsumerMember(id), nil
	case e.body.MemberID != "":
		return existing, nil
	}
	return d.replace(existing, id), nil
}

func classicUpdate(m *consumerMember, e joinRequest, subscription *kmsg.ConsumerMemberMetadata) *consumerMember {
	u := *m
	if e.body.InstanceID != nil {
		u.instanceID = e.body.InstanceID
	}
	if rack := rackOf(subscription); rack != nil {
		u.rackID = rack
	}
	u.rebalanceTimeoutMillis = rebalanceTimeoutOf(e.body)
	u.topics, u.regex = uniqueSorted(subscription.Topics), ""
	u.clientID, u.clientHost = e.caller.ClientID, e.caller.ClientHost
	u.classic = &classicMetadata{sessionTimeoutMillis: e.body.SessionTimeoutMillis, protocols: e.body.Protocols}
	return &u
}

// ownedBy is what a classic member says it has: nothing in versions that cannot say.
func (s *shard) ownedBy(tenant string, subscription *kmsg.ConsumerMemberMetadata) owned {
	o := owned{}
	for _, t := range subscription.OwnedPartitions {
		if topic, ok := s.topics().Topic(tenant, t.Topic); ok {
			o = append(o, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: topic.ID, Partitions: t.Partitions})
		}
	}
	return o
}

func classicJoined(m *consumerMember, generation int32) *kmsg.JoinGroupResponse {
	r := joinResponse(m.id)
	protocolType, protocol := consumerProtocolType, m.classic.protocols[0].Name
	r.Generation, r.ProtocolType, r.Protocol = generation, &protocolType, &protocol
	return r
}

// classicMember finds the sender of a SyncGroup or Heartbeat.
func (c *consumerGroup) classicMember(id string, instance *string, generation int32) (*consumerMember, *kerr.Error) {
	m := c.members[id]
	if instance != nil {
		m = c.members[c.static[*instance]]
		if m != nil && m.id != id {
			return nil, kerr.FencedInstanceID
		}
	}
	switch {
	case m == nil || m.classic == nil:
		return nil, kerr.UnknownMemberID
	case m.epoch != generation:
		return nil, kerr.IllegalGeneration
	}
	return m, nil
}

// syncConsumer tells a classic member its partitions.
func (s *shard) syncConsumer(g *group, e syncRequest, ticket coordinator.Ticket, now time.Time, do *effects) {
	c, r := g.consumer, e.body
	m, fault := c.classicMember(r.MemberID, r.InstanceID, r.Generation)
	if fault == nil {
		fault = m.checkSync(r)
	}
	if fault == nil && c.epoch > m.epoch && m.state != memberUnrevoked {
		s.expectJoin(e.key, c, m, now)
		fault = kerr.RebalanceInProgress
	}
	if fault != nil {
		do.replyNow(ticket, syncError(fault))
		return
	}
	s.timers.cancel(c.timersOf(m.id).sync)
	s.startConsumerSession(e.key, c, m, now)
	answer := kmsg.NewPtrSyncGroupResponse()
	answer.ProtocolType, answer.Protocol = r.ProtocolType, r.Protocol
	answer.MemberAssignment = s.classicAssignment(m.assigned.partitions(), versionOf(m.classic.protocols[0].Metadata))
	do.reply(ticket, answer)
}

func (m *consumerMember) checkSync(r *kmsg.SyncGroupRequest) *kerr.Error {
	protocolType := consumerProtocolType
	if differ(r.ProtocolType, &protocolType) || differ(r.Protocol, &m.classic.protocols[0].Name) {
		return kerr.InconsistentGroupProtocol
	}
	return nil
}

// heartbeatConsumer tells a classic member whether it has to join again.
func (s *shard) heartbeatConsumer(c *consumerGroup, e heartbeatRequest, now time.Time) *kerr.Error {
	m, fault := c.classicMember(e.body.MemberID, e.body.InstanceID, e.body.Generation)
	if fault != nil {
		return fault
	}
	s.startConsumerSession(e.key, c, m, now)
	if m.epoch < c.epoch || m.state == memberUnrevoked || m.state == memberUnreleased && !c.waits(m) {
		s.expectJoin(e.key, c, m, now)
		return kerr.RebalanceInProgress
	}
	return nil
}

// waits reports whether others still have what the member is to get.
func (c *consumerGroup) waits(m *consumerMember) bool {
	for id, partitions := range c.target[m.id] {
		for _, p := range partitions {
			if !m.assigned.has(id, p) && c.owners[id][p] != "" {
				return true
			}
		}
	}
	return false
}

// expectJoin gives a classic member its rebalance timeout to join again.
func (s *shard) expectJoin(key groupKey, c *consumerGroup, m *consumerMember, now time.Time) {
	if t := c.timersOf(m.id).join; t.index < 0 {
		s.expectOf(t, key, m.id, "it did not join again in time", m.rebalanceTimeoutMillis, now)
	}
}

func (s *shard) expectOf(t *timer, key groupKey, id, reason string, timeoutMillis int32, now time.Time) {
	t.fire = func(now time.Time, do *effects) { s.expireConsumer(key, id, reason, now, do) }
	s.timers.schedule(t, now.Add(millis(timeoutMillis)))
}

// leaveConsumer takes classic members out, or those that an administrator names by their instance ids.
func (s *shard) leaveConsumer(g *group, e leaveRequest, ticket coordinator.Ticket, now time.Time, do *effects) {
	r := kmsg.NewPtrLeaveGroupResponse()
	var gone []*consumerMember
	for _, asked := range e.members {
		answer := kmsg.NewLeaveGroupResponseMember()
		answer.MemberID, answer.InstanceID = asked.MemberID, asked.InstanceID
		m, fault := g.consumer.leavingClassic(asked)
		if fault != nil {
			answer.ErrorCode = fault.Code
		} else {
			answer.MemberID = m.id
			gone = append(gone, m)
		}
		r.Members = append(r.Members, answer)
	}
	if len(gone) > 0 {
		do.note("members left", g, "members", len(gone))
		s.fenceAll(g, gone, now, do)
	}
	do.reply(ticket, r)
}

func (c *consumerGroup) leavingClassic(asked kmsg.LeaveGroupRequestMember) (*consumerMember, *kerr.Error) {
	m := c.members[asked.MemberID]
	if asked.InstanceID != nil {
		m = c.members[c.static[*asked.InstanceID]]
		if m != nil && asked.MemberID != "" && m.id != asked.MemberID {
			return nil, kerr.FencedInstanceID
		}
	}
	if m == nil || m.classic == nil {
		return nil, kerr.UnknownMemberID
	}
	return m, nil
}
