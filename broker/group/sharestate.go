package group

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// What share coordinators are asked to do for a group, and what became of it.

// ShareState is a partition whose state a share coordinator is to make.
type ShareState struct {
	TopicID    TopicID
	Topic      string
	Partition  int32
	StateEpoch int32
	Start      int64 // -1: the leader of the partition decides
}

// shareInitialized says that share coordinators have the states of these partitions.
type shareInitialized struct {
	key    groupKey
	states []ShareState
}

// begin notes the partitions of subscribed topics that have no state yet, and returns all that share coordinators have to
// be told of: those that were noted before, too, for nobody knows what became of them.
func (d *shareDraft) begin() (begin []ShareState) {
	view, states := d.s.topics(), d.g.states
	changed := false
	for _, name := range d.g.subscribed() {
		t, ok := view.Topic(d.key.tenant, name)
		if !ok {
			continue
		}
		var missing []int32
		for p := range t.Partitions {
			if !has(states.initialized, t.ID, p) && !has(states.initializing, t.ID, p) {
				missing = append(missing, p)
			}
		}
		if len(missing) > 0 {
			states.initializing = with(states.initializing, t.ID, name, missing)
			changed = true
		}
	}
	if changed {
		d.putStates(states)
	}
	for _, id := range sortedIDs(states.initializing) {
		for _, p := range states.initializing[id].partitions {
			begin = append(begin, ShareState{TopicID: id, Topic: states.initializing[id].name, Partition: p, StateEpoch: 0, Start: -1})
		}
	}
	return begin
}

func has(topics map[TopicID]stateTopic, id TopicID, partition int32) bool {
	_, found := slices.BinarySearch(topics[id].partitions, partition)
	return found
}

func (d *shareDraft) putStates(states shareStates) {
	d.g.states = states
	if states.isEmpty() {
		d.do.write(consumerTombstone(shareStatesKey, d.key))
	} else {
		d.do.write(shareStatesRecord(d.key, states))
	}
}

// shareInitialized has partitions assigned that have a state now.
func (s *shard) shareInitialized(e shareInitialized, ticket coordinator.Ticket, now time.Time, do *effects) {
	before := s.shareOf(e.key)
	if before != nil {
		d := &shareDraft{s: s, key: e.key, now: now, do: do, g: before.clone()}
		states := before.states
		for _, p := range e.states {
			if has(states.initializing, p.TopicID, p.Partition) {
				states.initializing = without(states.initializing, p.TopicID, []int32{p.Partition})
				states.initialized = with(states.initialized, p.TopicID, p.Topic, []int32{p.Partition})
			}
		}
		d.putStates(states)
		if len(d.g.members) > 0 {
			d.bump()
			d.assign(true)
		}
	}
	do.reply(ticket, struct{}{})
}

// shareOffsetsRequest asks for the partitions of a share group that have a state; a share group it must be.
type shareOffsetsRequest struct{ key groupKey }

// shareOffsetsAnswer names them by topic id.
type shareOffsetsAnswer struct {
	fault  *kerr.Error
	topics map[TopicID]stateTopic
}

func (s *shard) shareOffsets(e shareOffsetsRequest) shareOffsetsAnswer {
	g := s.shareOf(e.key)
	if g == nil {
		return shareOffsetsAnswer{fault: kerr.GroupIDNotFound}
	}
	return shareOffsetsAnswer{topics: g.states.initialized}
}

// alterShareRequest notes that the states of partitions of a group without members begin anew.
type alterShareRequest struct {
	key    groupKey
	states []ShareState // without state epochs
}

// alterShareAnswer tells with which state epochs.
type alterShareAnswer struct {
	fault  *kerr.Error
	states []ShareState
}

func (s *shard) alterShare(e alterShareRequest, ticket coordinator.Ticket, now time.Time, do *effects) {
	g := s.lookup(e.key)
	switch {
	case g != nil && g.share == nil && !g.isGone():
		do.replyNow(ticket, alterShareAnswer{fault: kerr.GroupIDNotFound})
		return
	case g != nil && g.share != nil && len(g.share.members) > 0:
		do.replyNow(ticket, alterShareAnswer{fault: kerr.NonEmptyGroup})
		return
	}
	d := &shareDraft{s: s, key: e.key, now: now, do: do, g: s.shareOf(e.key).clone()}
	if s.shareOf(e.key) == nil {
		d.g.epoch = 0 // so that it begins with 1
	}
	d.bump()
	states := d.g.states
	for i := range e.states {
		p := &e.states[i]
		p.StateEpoch = d.g.epoch // later than that of any state until now
		states.initialized = without(states.initialized, p.TopicID, []int32{p.Partition})
		states.initializing = with(states.initializing, p.TopicID, p.Topic, []int32{p.Partition})
	}
	if len(e.states) > 0 {
		d.putStates(states)
	}
	do.reply(ticket, alterShareAnswer{states: e.states})
}

// forgetShareRequest ends the states of topics: first they are noted as deleting, and, when done, as gone.
type forgetShareRequest struct {
	key    groupKey
	topics []TopicID
	done   bool
}

// forgetShareAnswer names the partitions whose states are to be deleted.
type forgetShareAnswer struct {
	fault  *kerr.Error
	topics map[TopicID]stateTopic
}

func (s *shard) forgetShare(e forgetShareRequest, ticket coordinator.Ticket, now time.Time, do *effects) {
	before := s.shareOf(e.key)
	switch {
	case before == nil:
		do.replyNow(ticket, forgetShareAnswer{fault: kerr.GroupIDNotFound})
		return
	case len(before.members) > 0:
		do.replyNow(ticket, forgetShareAnswer{fault: kerr.NonEmptyGroup})
		return
	}
	d := &shareDraft{s: s, key: e.key, now: now, do: do, g: before.clone()}
	states := before.states
	deleting := map[TopicID]string{}
	for id, name := range states.deleting {
		deleting[id] = name
	}
	forgotten := map[TopicID]stateTopic{}
	for _, id := range e.topics {
		for _, topics := range []map[TopicID]stateTopic{states.initialized, states.initializing} {
			if t, ok := topics[id]; ok {
				forgotten = with(forgotten, id, t.name, t.partitions)
			}
		}
		states.initialized = without(states.initialized, id, states.initialized[id].partitions)
		states.initializing = without(states.initializing, id, states.initializing[id].partitions)
		if delete(deleting, id); !e.done && len(forgotten[id].partitions) > 0 {
			deleting[id] = forgotten[id].name
		}
	}
	states.deleting = deleting
	d.putStates(states)
	do.reply(ticket, forgetShareAnswer{topics: forgotten})
}

// dropShareTopic forgets the states of a topic that is gone; the share coordinators do, too.
func (s *shard) dropShareTopic(key groupKey, topic string, now time.Time, do *effects) {
	before := s.shareOf(key)
	if before == nil {
		return
	}
	states, changed := before.states, false
	for _, topics := range []map[TopicID]stateTopic{states.initialized, states.initializing} {
		for id, t := range topics {
			if t.name == topic {
				states.initialized = without(states.initialized, id, t.partitions)
				states.initializing = without(states.initializing, id, t.partitions)
				changed = true
			}
		}
	}
	if changed {
		d := &shareDraft{s: s, key: key, now: now, do: do, g: before.clone()}
		d.putStates(states)
	}
}

// shareLeave is the last heartbeat of a member.
func (s *shard) shareLeave(e shareHeartbeatRequest, g *shareGroup, ticket coordinator.Ticket, now time.Time, do *effects) *refusal {
	m := g.members[e.body.MemberID]
	if m == nil {
		return refused(kerr.UnknownMemberID, "Member %s is not a member of group %s.", e.body.MemberID, e.key.id)
	}
	s.removeShareMember(e.key, m.id, "it left", now, do)
	r := kmsg.NewPtrShareGroupHeartbeatResponse()
	r.MemberID, r.MemberEpoch = &m.id, leaving
	do.reply(ticket, shareHeartbeatAnswer{body: r})
	return nil
}

// removeShareMember takes a member out; the others are assigned anew.
func (s *shard) removeShareMember(key groupKey, id, reason string, now time.Time, do *effects) {
	before := s.shareOf(key)
	if before == nil || before.members[id] == nil {
		return
	}
	t := s.shareTimersOf(key)
	s.timers.cancel(t.sessions[id])
	delete(t.sessions, id)
	d := &shareDraft{s: s, key: key, now: now, do: do, g: before.clone()}
	delete(d.g.members, id)
	delete(d.g.target, id)
	do.write(consumerMemberTombstone(shareCurrentKey, key, id), consumerMemberTombstone(shareTargetMemberKey, key, id),
		consumerMemberTombstone(shareMemberKey, key, id))
	d.note("share group lost a member", "member", id, "reason", reason)
	d.bump()
	if len(d.g.members) > 0 {
		d.assign(false)
	}
}

// startShareSession starts a member's session anew.
func (s *shard) startShareSession(key groupKey, id string, now time.Time) {
	all := s.shareTimersOf(key)
	t := all.sessions[id]
	if t == nil {
		t = newTimer(func(now time.Time, do *effects) { s.removeShareMember(key, id, "its session ended", now, do) })
		all.sessions[id] = t
	}
	s.timers.schedule(t, now.Add(millis(s.shareSettings(key).SessionTimeoutMillis)))
}

// shareTimersOf are a group's deadlines; they are made when they are first needed.
func (s *shard) shareTimersOf(key groupKey) *shareTimers {
	t := s.shares[key]
	if t == nil {
		t = &shareTimers{sessions: map[string]*timer{}, assign: newTimer(nil)}
		s.shares[key] = t
	}
	return t
}

func (s *shard) shareSettings(key groupKey) ShareSettings {
	if resolve := s.settings().Share; resolve != nil {
		return resolve(key.tenant, key.id)
	}
	return DefaultShareSettings()
}
