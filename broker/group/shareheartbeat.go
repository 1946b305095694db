package group

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/group/assignor"
)

// shareHeartbeatRequest is a ShareGroupHeartbeat.
type shareHeartbeatRequest struct {
	key    groupKey
	caller Caller
	body   *kmsg.ShareGroupHeartbeatRequest
}

// shareHeartbeatAnswer is what a heartbeat leads to: begin are partitions that share coordinators have to be told of.
type shareHeartbeatAnswer struct {
	body  *kmsg.ShareGroupHeartbeatResponse
	begin []ShareState
}

func shareHeartbeatError(err *kerr.Error, message string) *kmsg.ShareGroupHeartbeatResponse {
	r := kmsg.NewPtrShareGroupHeartbeatResponse()
	r.ErrorCode = err.Code
	if message == "" {
		message = err.Description
	}
	r.ErrorMessage = &message
	return r
}

// shareHeartbeat decides what a heartbeat leads to, as Kafka's GroupMetadataManager.shareGroupHeartbeat.
func (s *shard) shareHeartbeat(e shareHeartbeatRequest, ticket coordinator.Ticket, now time.Time, do *effects) {
	refuse := func(fault *refusal) {
		do.Records = nil
		do.replyNow(ticket, shareHeartbeatAnswer{body: shareHeartbeatError(fault.err, fault.message)})
	}
	before, fault := s.shareGroupFor(e)
	if fault != nil {
		refuse(fault)
		return
	}
	if e.body.MemberEpoch < 0 {
		if fault := s.shareLeave(e, before, ticket, now, do); fault != nil {
			refuse(fault)
		}
		return
	}
	d := &shareDraft{s: s, key: e.key, now: now, do: do, g: before.clone()}
	m, fault := d.member(e, before)
	if fault != nil {
		refuse(fault)
		return
	}
	d.update(m, e)
	begin := d.begin()
	d.assign(false)
	next, reassigned := d.follow(m.id)
	s.startShareSession(e.key, m.id, now)
	do.reply(ticket, shareHeartbeatAnswer{d.answer(e.body, next, reassigned), begin})
}

// shareGroupFor finds the share group; nil is one that the first member makes.
func (s *shard) shareGroupFor(e shareHeartbeatRequest) (*shareGroup, *refusal) {
	g := s.lookup(e.key)
	switch {
	case g != nil && g.share != nil:
		return g.share, nil
	case g != nil && !g.isGone():
		return nil, refused(kerr.GroupIDNotFound, "Group %s is not a share group.", e.key.id)
	case e.body.MemberEpoch < 0:
		return nil, refused(kerr.GroupIDNotFound, "Group %s not found.", e.key.id)
	case e.body.MemberEpoch != 0:
		return nil, refused(kerr.GroupIDNotFound, "Share group %s not found.", e.key.id)
	}
	return nil, nil
}

// shareDraft is a share group as a step would have it: g is a clone, to which everything that is written is done, too.
type shareDraft struct {
	s   *shard
	key groupKey
	now time.Time
	do  *effects
	g   *shareGroup
}

// member finds or makes the member of a heartbeat.
func (d *shareDraft) member(e shareHeartbeatRequest, before *shareGroup) (*shareMember, *refusal) {
	r := e.body
	m := d.g.members[r.MemberID]
	switch {
	case m == nil && r.MemberEpoch != 0:
		return nil, refused(kerr.UnknownMemberID, "Member %s is not a member of group %s.", r.MemberID, e.key.id)
	case m == nil && len(d.g.members) >= int(d.s.settings().ShareMaxSize):
		return nil, refused(kerr.GroupMaxSizeReached, "The share group has reached its maximum capacity of %d members.", d.s.settings().ShareMaxSize)
	case m == nil:
		if before == nil || len(before.members) == 0 {
			d.note("share group has members", "member", r.MemberID)
		}
		return &shareMember{id: r.MemberID}, nil
	case r.MemberEpoch > m.epoch:
		return nil, refused(kerr.FencedMemberEpoch, "The share group member has a greater member epoch (%d) than the one known by the group coordinator (%d). The member must abandon all its partitions and rejoin.", r.MemberEpoch, m.epoch)
	case r.MemberEpoch != 0 && r.MemberEpoch < m.epoch && r.MemberEpoch != m.previousEpoch:
		return nil, refused(kerr.FencedMemberEpoch, "The share group member has a smaller member epoch (%d) than the one known by the group coordinator (%d), and it does not match the previous member epoch (%d). The member must abandon all its partitions and rejoin.", r.MemberEpoch, m.epoch, m.previousEpoch)
	}
	return m, nil
}

// update writes a member that is new or says something else of itself, and raises the group's epoch when that, or a topic,
// calls for another assignment.
func (d *shareDraft) update(m *shareMember, e shareHeartbeatRequest) {
	r, u := e.body, *m
	if r.RackID != nil {
		u.rackID = r.RackID
	}
	if r.SubscribedTopicNames != nil {
		u.topics = slices.Compact(slices.Sorted(slices.Values(r.SubscribedTopicNames)))
	}
	u.clientID, u.clientHost = e.caller.ClientID, e.caller.ClientHost
	_, known := d.g.members[m.id]
	resubscribed := !known || !slices.Equal(u.topics, m.topics)
	d.g.members[m.id] = &u
	if resubscribed || !sameText(u.rackID, m.rackID) || u.clientID != m.clientID || u.clientHost != m.clientHost {
		d.do.write(shareMemberRecord(d.key, &u))
	}
	if hash := hashOf(d.s.topics(), d.key.tenant, d.g.subscribed()); resubscribed || hash != d.g.metadataHash {
		d.bump()
	}
}

// bump raises the group's epoch: another assignment is called for.
func (d *shareDraft) bump() {
	d.g.epoch++
	d.g.metadataHash = hashOf(d.s.topics(), d.key.tenant, d.g.subscribed())
	d.do.write(shareEpochRecord(d.key, d.g.epoch, d.g.metadataHash))
}

// assign makes the target for the group's epoch, unless the one before it is too young and it is not to be at once, and
// writes what is new in it.
func (d *shareDraft) assign(atOnce bool) {
	g := d.g
	if g.epoch <= g.assignmentEpoch || !atOnce && !d.mayAssign() {
		return
	}
	targets := assignor.Simple(d.assignable())
	for _, id := range sortedKeys(g.members) {
		if before, had := g.target[id]; !had || !before.Equal(targets[id]) {
			g.target[id] = targets[id]
			d.do.write(shareTargetRecord(d.key, id, targets[id]))
		}
	}
	g.assignmentEpoch, g.assignmentMillis = g.epoch, d.now.UnixMilli()
	d.do.write(shareTargetEpochRecord(d.key, g.epoch, g.assignmentMillis))
}

// assignable are the members as the assignor sees them, and the partitions that may be assigned: those that have a state.
func (d *shareDraft) assignable() ([]assignor.Member, map[TopicID][]int32) {
	view := d.s.topics()
	partitions := map[TopicID][]int32{}
	members := make([]assignor.Member, 0, len(d.g.members))
	for _, id := range sortedKeys(d.g.members) {
		m := assignor.Member{ID: id, Assigned: d.g.target[id]}
		for _, name := range d.g.members[id].topics {
			t, ok := view.Topic(d.key.tenant, name)
			if !ok || len(d.g.states.initialized[t.ID].partitions) == 0 {
				continue
			}
			m.Topics = append(m.Topics, t.ID)
			partitions[t.ID] = d.g.states.initialized[t.ID].partitions
		}
		slices.SortFunc(m.Topics, func(a, b TopicID) int { return slices.Compare(a[:], b[:]) })
		members = append(members, m)
	}
	return members, partitions
}

// mayAssign holds the pause between two assignments. When it is too early, a timer makes the assignment.
func (d *shareDraft) mayAssign() bool {
	t := d.s.shareTimersOf(d.key).assign
	pause := millis(d.s.shareSettings(d.key).AssignmentIntervalMillis)
	due := time.UnixMilli(d.g.assignmentMillis).Add(pause)
	if !due.After(d.now) || due.Sub(d.now) > pause {
		d.s.timers.cancel(t)
		return true
	}
	if t.index < 0 {
		key, s := d.key, d.s
		t.fire = func(now time.Time, do *effects) { s.assignShare(key, now, do) }
		s.timers.schedule(t, due)
	}
	return false
}

// assignShare makes an assignment that was put off.
func (s *shard) assignShare(key groupKey, now time.Time, do *effects) {
	if g := s.shareOf(key); g != nil && len(g.members) > 0 {
		d := &shareDraft{s: s, key: key, now: now, do: do, g: g.clone()}
		d.assign(true)
	}
}

// follow gives a member its target.
func (d *shareDraft) follow(id string) (m *shareMember, reassigned bool) {
	m = d.g.members[id]
	if m.epoch == d.g.assignmentEpoch && m.epoch != 0 {
		return m, false
	}
	next := *m
	next.previousEpoch, next.epoch = m.epoch, d.g.assignmentEpoch
	next.assigned = d.g.target[id]
	d.g.members[id] = &next
	d.do.write(shareCurrentRecord(d.key, &next))
	return &next, !next.assigned.Equal(m.assigned)
}

// quickShareHeartbeatMillis is the heartbeat interval of a member that waits for a first assignment: clients do as they are
// told, and would else learn of it seconds later.
const quickShareHeartbeatMillis = 100

// answer tells a member its epoch, and its partitions when they changed or when it told everything of itself.
func (d *shareDraft) answer(r *kmsg.ShareGroupHeartbeatRequest, m *shareMember, reassigned bool) *kmsg.ShareGroupHeartbeatResponse {
	answer := kmsg.NewPtrShareGroupHeartbeatResponse()
	answer.MemberID, answer.MemberEpoch = &m.id, m.epoch
	answer.HeartbeatIntervalMillis = d.s.shareSettings(d.key).HeartbeatIntervalMillis
	if d.g.epoch > m.epoch || len(d.g.states.initializing) > 0 && len(m.assigned) == 0 {
		answer.HeartbeatIntervalMillis = min(answer.HeartbeatIntervalMillis, quickShareHeartbeatMillis)
	}
	if r.MemberEpoch == 0 || r.SubscribedTopicNames != nil || reassigned {
		a := &kmsg.ShareGroupHeartbeatResponseAssignment{}
		for _, id := range sortedIDs(m.assigned) {
			a.TopicPartitions = append(a.TopicPartitions, kmsg.ShareGroupHeartbeatResponseAssignmentTopicPartition{TopicID: id, Partitions: m.assigned[id]})
		}
		answer.Assignment = a
	}
	return answer
}

func (d *shareDraft) note(message string, attributes ...any) {
	d.do.Notes = append(d.do.Notes, coordinator.Note{Message: message, Attributes: append([]any{"group", d.key.id, "epoch", d.g.epoch}, attributes...)})
}
