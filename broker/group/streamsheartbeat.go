package group

import (
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/group/assignor"
	"github.com/millrace-io/millrace/broker/group/topology"
)

// streamsHeartbeatRequest is a StreamsGroupHeartbeat.
type streamsHeartbeatRequest struct {
	key    groupKey
	caller Caller
	body   *kmsg.StreamsGroupHeartbeatRequest
}

// streamsHeartbeatAnswer is what a heartbeat leads to: create are internal topics that the application needs.
type streamsHeartbeatAnswer struct {
	body   *kmsg.StreamsGroupHeartbeatResponse
	create []topology.Topic
}

func streamsHeartbeatError(err *kerr.Error, message string) *kmsg.StreamsGroupHeartbeatResponse {
	r := kmsg.NewPtrStreamsGroupHeartbeatResponse()
	r.ErrorCode = err.Code
	if message == "" {
		message = err.Description
	}
	r.ErrorMessage = &message
	return r
}

// streamsDraft is a streams group as a step would have it: what is replayed, and what the step writes of it.
type streamsDraft struct {
	s      *shard
	key    groupKey
	now    time.Time
	do     *effects
	before *streamsGroup // not changed
	isNew  bool          // the group is made by this step
	soft   *streamsSoft
	body   *kmsg.StreamsGroupHeartbeatRequest

	settings StreamsSettings

	epoch           int32
	assignmentEpoch int32
	topology        *topology.Topology
	configured      *topology.Configured
	statuses        []kmsg.StreamsGroupHeartbeatResponseStatus
	quicklyMillis   int32 // when the member is to come again, if there will be something for it; 0: as usual
}

// streamsHeartbeat decides what a heartbeat leads to, as Kafka's GroupMetadataManager.streamsGroupHeartbeat.
func (s *shard) streamsHeartbeat(e streamsHeartbeatRequest, ticket coordinator.Ticket, now time.Time, do *effects) {
	fault := s.beatStreams(e, ticket, now, do)
	if fault != nil {
		do.Records, do.Notes = nil, nil
		if s.streamsOf(e.key) == nil {
			s.dropStreamsSoft(e.key)
		}
		do.replyNow(ticket, streamsHeartbeatAnswer{body: streamsHeartbeatError(fault.err, fault.message)})
	}
}

func (s *shard) beatStreams(e streamsHeartbeatRequest, ticket coordinator.Ticket, now time.Time, do *effects) *refusal {
	if e.body.MemberEpoch < 0 {
		return s.leaveStreams(e, ticket, do)
	}
	g, isNew, fault := s.streamsGroupFor(e, do)
	if fault != nil {
		return fault
	}
	d := &streamsDraft{s: s, key: e.key, now: now, do: do, before: g, isNew: isNew, body: e.body, settings: s.streamsSettings(e.key),
		epoch: g.epoch, assignmentEpoch: g.assignmentEpoch}
	m, fault := d.member()
	if fault != nil {
		return fault
	}
	if d.topology, fault = d.updatedTopology(); fault != nil {
		return fault
	}
	d.soft = s.streamsSoftOf(e.key)
	updated := d.updatedMember(m, e.caller)
	if fault := d.update(m, updated); fault != nil {
		return fault
	}
	if len(g.members) == 0 {
		d.delayFirst()
	}
	next := d.reconcile(updated, d.assign(updated))
	s.startStreamsSession(e.key, next.id, now)
	if e.body.ShutdownApplication && d.soft.shutdownBy == "" {
		d.soft.shutdownBy = next.id
	}
	if is := s.lookup(e.key); isNew && is != nil {
		for id := range is.pendingJoin {
			s.dropPending(is, id) // they come too late: it is no classic group any more
		}
	}
	do.reply(ticket, streamsHeartbeatAnswer{d.answer(m, next), d.configured.Missing})
	return nil
}

// streamsGroupFor finds the group of a heartbeat. The first member's makes it; an empty classic group becomes one.
func (s *shard) streamsGroupFor(e streamsHeartbeatRequest, do *effects) (g *streamsGroup, isNew bool, fault *refusal) {
	is := s.lookup(e.key)
	switch {
	case is != nil && is.streams != nil:
		return is.streams, false, nil
	case e.body.MemberEpoch != 0 && (is == nil || is.isGone()):
		return nil, false, refused(kerr.GroupIDNotFound, "Streams group %s not found.", e.key.id)
	case is == nil:
	case e.body.MemberEpoch != 0 || is.consumer != nil || is.share != nil || is.state != empty:
		return nil, false, refused(kerr.GroupIDNotFound, "Group %s is not a streams group.", e.key.id)
	case is.stored != nil:
		do.write(groupTombstone(e.key))
	}
	return newStreamsGroup(), true, nil
}

// member finds or makes the member of a heartbeat.
func (d *streamsDraft) member() (*streamsMember, *refusal) {
	r := d.body
	m := d.before.members[r.MemberID]
	switch limit := d.s.settings().StreamsMaxSize; {
	case m == nil && r.MemberEpoch != 0:
		return nil, refused(kerr.UnknownMemberID, "Member %s is not a member of group %s.", r.MemberID, d.key.id)
	case m == nil && len(d.before.members) >= int(limit):
		return nil, refused(kerr.GroupMaxSizeReached, "The streams group has reached its maximum capacity of %d members.", limit)
	case m == nil:
		d.note("streams member joins", "member", r.MemberID)
		return newStreamsMember(r.MemberID), nil
	}
	return m, m.checkEpoch(r)
}

// checkEpoch says whether a heartbeat is of the member as it is. One with the epoch before comes from who did not hear of
// the present one, if what it has is no more than it was given.
func (m *streamsMember) checkEpoch(r *kmsg.StreamsGroupHeartbeatRequest) *refusal {
	which := ""
	switch {
	case r.MemberEpoch == 0 || r.MemberEpoch == m.epoch:
		return nil
	case r.MemberEpoch > m.epoch:
		which = "greater"
	case r.MemberEpoch != m.previousEpoch || !contained(r.ActiveTasks, m.assigned.active) ||
		!contained(r.StandbyTasks, m.assigned.standby) || !contained(r.WarmupTasks, m.assigned.warmup):
		which = "smaller"
	default:
		return nil
	}
	return refused(kerr.FencedMemberEpoch, "The streams group member has a %s member epoch (%d) than the one known by the group coordinator (%d). The member must abandon all its partitions and rejoin.", which, r.MemberEpoch, m.epoch)
}

// contained reports that tasks are told, and all in the set.
func contained(told []kmsg.TaskIDs, set taskSet) bool {
	if told == nil {
		return false
	}
	for _, t := range told {
		for _, p := range t.Partitions {
			if _, has := set[assignor.Task{Subtopology: t.SubtopologyID, Partition: p}]; !has {
				return false
			}
		}
	}
	return true
}

// updatedMember is the member with what the heartbeat says of it.
func (d *streamsDraft) updatedMember(m *streamsMember, who Caller) *streamsMember {
	r, u := d.body, *m
	u.clientID, u.clientHost = who.ClientID, who.ClientHost
	if r.RackID != nil {
		u.rackID = r.RackID
	}
	if r.RebalanceTimeoutMillis != -1 {
		u.rebalanceTimeoutMillis = r.RebalanceTimeoutMillis
	}
	if r.Topology != nil {
		u.topologyEpoch = r.Topology.Epoch
	}
	if r.ProcessID != nil {
		u.processID = *r.ProcessID
	}
	if r.ClientTags != nil {
		u.tags = map[string]string{}
		for _, tag := range r.ClientTags {
			u.tags[tag.Key] = tag.Value
		}
	}
	if r.UserEndpoint != nil {
		u.endpoint = &endpoint{r.UserEndpoint.Host, r.UserEndpoint.Port}
	}
	return &u
}

// updatedTopology is that of the group, which its first member brings.
func (d *streamsDraft) updatedTopology() (*topology.Topology, *refusal) {
	known := d.before.topology
	if d.body.Topology == nil {
		if known == nil {
			return nil, refused(kerr.UnknownServerError, "The topology is null and the group topology is also null.")
		}
		return known, nil
	}
	sent := topologyOf(d.body.Topology)
	if err := sent.Check(); err != nil {
		return nil, &refusal{kerr.StreamsInvalidTopology, err.Error()}
	}
	switch {
	case known == nil:
		return sent, nil
	case known.Epoch > sent.Epoch:
		return known, nil
	case !sameTopology(known, sent):
		return nil, refused(kerr.InvalidRequest, "Topology updates are not supported yet.")
	}
	return known, nil
}

// update writes what is new of the member, the topology and the topics, and raises the group's epoch when that calls for
// another assignment.
func (d *streamsDraft) update(m, updated *streamsMember) *refusal {
	g := d.before
	bump := g.members[m.id] == nil || !m.describes(updated)
	if bump {
		d.do.write(streamsMemberRecord(d.key, updated))
	}
	if g.topology == nil {
		d.do.write(streamsTopologyRecord(d.key, d.topology))
	} else if updated.topologyEpoch < d.topology.Epoch {
		d.tell(topology.StaleTopology, "The member's topology epoch %d is behind the group's topology epoch %d.", updated.topologyEpoch, d.topology.Epoch)
	}
	hash, fault := d.configure()
	if fault != nil {
		return fault
	}
	validated := int32(-1)
	if d.configured.Ready() {
		validated = d.topology.Epoch
		if fault := d.checkOwned(); fault != nil {
			return fault
		}
	}
	configs := d.settings.assignmentConfigs()
	if bump || hash != g.metadataHash || validated != g.validated || !maps.Equal(configs, g.configs) {
		d.epoch++
		d.do.write(streamsEpochRecord(d.key, streamsEpoch{d.epoch, hash, validated, configs}))
	}
	return nil
}

// configure holds the topology against the topics that exist, unless nothing has changed since the last time.
func (d *streamsDraft) configure() (hash uint64, fault *refusal) {
	g, soft := d.before, d.soft
	if g.topology != nil && soft.configured != nil && !soft.stale {
		d.configured = soft.configured
		return g.metadataHash, nil
	}
	topics := d.s.topics()
	hash = hashOf(topics, d.key.tenant, d.topology.Required())
	if g.topology == nil || soft.configured == nil || hash != g.metadataHash {
		configured, err := topology.Configure(d.topology, func(name string) (int32, bool) {
			t, ok := topics.Topic(d.key.tenant, name)
			return t.Partitions, ok
		})
		if err != nil {
			return 0, &refusal{kerr.StreamsInvalidTopology, err.Error()}
		}
		soft.configured = configured
	}
	soft.stale = hash != g.metadataHash // until it is in the log: the write may be refused
	d.configured = soft.configured
	return hash, nil
}

// checkOwned refuses tasks that there cannot be.
func (d *streamsDraft) checkOwned() *refusal {
	for _, told := range [][]kmsg.TaskIDs{d.body.ActiveTasks, d.body.StandbyTasks, d.body.WarmupTasks} {
		for _, t := range told {
			sub := d.configured.Subtopology(t.SubtopologyID)
			if sub == nil {
				return refused(kerr.InvalidRequest, "Subtopology %s does not exist in the topology.", t.SubtopologyID)
			}
			for _, p := range t.Partitions {
				if p < 0 || p >= sub.Tasks {
					return refused(kerr.InvalidRequest, "Task %d for subtopology %s is invalid. Number of tasks for this subtopology: %d", p, t.SubtopologyID, sub.Tasks)
				}
			}
		}
	}
	return nil
}
