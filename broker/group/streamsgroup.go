package group

import (
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/group/assignor"
	"github.com/millrace-io/millrace/broker/group/topology"
)

// streamsGroup is what a streams group (KIP-1071) is made of: all of it is in the log, and changes in Replay only.
//
// Its members work on tasks instead of partitions: a task is in the hands of one process at a time, and its standby and
// warm-up tasks in those of others. A member moves towards its target in steps, as one of a consumer group does.
type streamsGroup struct {
	epoch            int32
	metadataHash     uint64
	validated        int32             // the epoch of the topology whose topics are as they must be; -1: none
	configs          map[string]string // what the last assignment was asked for with
	assignmentEpoch  int32
	assignmentMillis int64 // when the target was made
	topology         *topology.Topology
	members          map[string]*streamsMember
	target           map[string]tasks

	// What follows from members; setMember keeps it.
	active     map[assignor.Task]map[string]int // how many members of each process have a task
	copies     map[assignor.Task]map[string]int // the same of standby and warm-up tasks
	reconciled int
}

// streamsMember is immutable.
type streamsMember struct {
	id                     string
	instanceID, rackID     *string
	clientID, clientHost   string
	rebalanceTimeoutMillis int32
	topologyEpoch          int32
	processID              string
	endpoint               *endpoint // where it answers interactive queries; nil: nowhere
	tags                   map[string]string
	epoch, previousEpoch   int32
	state                  memberState
	assigned, revoking     tasks
}

type endpoint struct {
	host string
	port uint16
}

// tasks are those of one member. Its maps are never changed, and nil is none.
type tasks struct{ active, standby, warmup taskSet }

// taskSet holds tasks with the epoch in which each was given out, which is 0 where it does not matter.
type taskSet map[assignor.Task]int32

func setOf(list []assignor.Task) taskSet {
	set := make(taskSet, len(list))
	for _, t := range list {
		set[t] = 0
	}
	return set
}

func (s taskSet) sorted() []assignor.Task {
	return slices.SortedFunc(maps.Keys(s), assignor.Task.Compare)
}

// sameTasks compares without epochs.
func (s taskSet) sameTasks(other taskSet) bool {
	return len(s) == len(other) && !s.has(func(t assignor.Task) bool { _, ok := other[t]; return !ok })
}

func (s taskSet) has(which func(assignor.Task) bool) bool {
	for t := range s {
		if which(t) {
			return true
		}
	}
	return false
}

func (s taskSet) overlaps(other taskSet) bool {
	return s.has(func(t assignor.Task) bool { _, ok := other[t]; return ok })
}

func (t tasks) isEmpty() bool { return len(t.active)+len(t.standby)+len(t.warmup) == 0 }

func (t tasks) overlaps(other tasks) bool {
	return t.active.overlaps(other.active) || t.standby.overlaps(other.standby) || t.warmup.overlaps(other.warmup)
}

// sameTasks compares without the epochs of active tasks.
func (t tasks) sameTasks(other tasks) bool {
	return t.active.sameTasks(other.active) && t.standby.sameTasks(other.standby) && t.warmup.sameTasks(other.warmup)
}

// equal compares with the epochs of active tasks.
func (t tasks) equal(other tasks) bool {
	return maps.Equal(t.active, other.active) && t.standby.sameTasks(other.standby) && t.warmup.sameTasks(other.warmup)
}

// newStreamsGroup begins at epoch 1, as in Kafka.
func newStreamsGroup() *streamsGroup {
	return &streamsGroup{
		epoch: 1, assignmentEpoch: 1, members: map[string]*streamsMember{}, target: map[string]tasks{},
		active: map[assignor.Task]map[string]int{}, copies: map[assignor.Task]map[string]int{},
	}
}

func newStreamsMember(id string) *streamsMember {
	return &streamsMember{id: id, rebalanceTimeoutMillis: -1, topologyEpoch: -1, state: memberStable}
}

func (m *streamsMember) isReconciled(epoch int32) bool {
	return m.state == memberStable && m.epoch == epoch
}

// describes reports that the other says the same of itself.
func (m *streamsMember) describes(other *streamsMember) bool {
	return sameText(m.instanceID, other.instanceID) && sameText(m.rackID, other.rackID) && m.clientID == other.clientID &&
		m.clientHost == other.clientHost && m.rebalanceTimeoutMillis == other.rebalanceTimeoutMillis &&
		m.topologyEpoch == other.topologyEpoch && m.processID == other.processID && maps.Equal(m.tags, other.tags) &&
		(m.endpoint == other.endpoint || m.endpoint != nil && other.endpoint != nil && *m.endpoint == *other.endpoint)
}

// streamsState is that of a streams group.
type streamsState int8

const (
	streamsEmpty streamsState = iota
	streamsNotReady
	streamsAssigning
	streamsReconciling
	streamsStable
	streamsStateCount
)

func (s streamsState) String() string {
	return [...]string{"Empty", "NotReady", "Assigning", "Reconciling", "Stable"}[s]
}

func (g *streamsGroup) state() streamsState {
	switch {
	case len(g.members) == 0:
		return streamsEmpty
	case g.topology == nil || g.topology.Epoch != g.validated:
		return streamsNotReady
	case g.epoch > g.assignmentEpoch:
		return streamsAssigning
	case g.reconciled < len(g.members):
		return streamsReconciling
	}
	return streamsStable
}

// setMember puts a member in the place of another one of its id; nil takes it out.
func (g *streamsGroup) setMember(id string, m *streamsMember) {
	if before := g.members[id]; before != nil {
		g.count(before, -1)
	}
	delete(g.members, id)
	if m != nil {
		g.members[id] = m
		g.count(m, 1)
	}
}

func (g *streamsGroup) count(m *streamsMember, by int) {
	if m.isReconciled(g.assignmentEpoch) {
		g.reconciled += by
	}
	for _, t := range []tasks{m.assigned, m.revoking} {
		countTasks(g.active, t.active, m.processID, by)
		countTasks(g.copies, t.standby, m.processID, by)
		countTasks(g.copies, t.warmup, m.processID, by)
	}
}

func countTasks(held map[assignor.Task]map[string]int, set taskSet, process string, by int) {
	for t := range set {
		if held[t] == nil {
			held[t] = map[string]int{}
		}
		if held[t][process] += by; held[t][process] == 0 {
			delete(held[t], process)
		}
		if len(held[t]) == 0 {
			delete(held, t)
		}
	}
}

// setAssignment takes over the epoch of a target.
func (g *streamsGroup) setAssignment(epoch int32, millis int64) {
	g.assignmentEpoch, g.assignmentMillis, g.reconciled = epoch, millis, 0
	for _, m := range g.members {
		if m.isReconciled(epoch) {
			g.reconciled++
		}
	}
}

// isSubscribedTo reports that members read a topic.
func (g *streamsGroup) isSubscribedTo(topic string) bool {
	if len(g.members) == 0 || g.topology == nil {
		return false
	}
	_, reads := g.topology.ReaderOf(topic)
	return reads
}

// streamsSoft is what a streams group has that is not in the log. A new coordinator begins without it.
type streamsSoft struct {
	sessions    map[string]*timer
	revocations map[string]*timer
	initial     *timer // the first assignment waits for more members

	configured *topology.Configured // nil: not known yet
	stale      bool                 // topics have changed since
	shutdownBy string               // the member that asked for the end of the application

	endpointEpoch int32 // of what is told of endpoints
}

// streamsSoftOf is made when it is first needed.
func (s *shard) streamsSoftOf(key groupKey) *streamsSoft {
	soft := s.streams[key]
	if soft == nil {
		soft = &streamsSoft{sessions: map[string]*timer{}, revocations: map[string]*timer{}, initial: newTimer(nil)}
		s.streams[key] = soft
	}
	return soft
}

// dropStreamsSoft forgets it, with its deadlines.
func (s *shard) dropStreamsSoft(key groupKey) {
	soft := s.streams[key]
	if soft == nil {
		return
	}
	s.timers.cancel(soft.initial)
	for _, deadlines := range []map[string]*timer{soft.sessions, soft.revocations} {
		for _, t := range deadlines {
			s.timers.cancel(t)
		}
	}
	delete(s.streams, key)
}

// refreshStreams has the next heartbeat look at the topics of a group again.
func (s *shard) refreshStreams(key groupKey, e topicsChanged) {
	g, soft := s.streamsOf(key), s.streams[key]
	if g == nil || soft == nil || key.tenant != e.tenant || g.topology == nil {
		return
	}
	for _, name := range g.topology.Required() {
		soft.stale = soft.stale || e.names[name]
	}
}

func (s *shard) streamsSettings(key groupKey) StreamsSettings {
	if resolve := s.settings().Streams; resolve != nil {
		return resolve(key.tenant, key.id)
	}
	return DefaultStreamsSettings()
}

// validateCommit says whether offsets may be committed. A member of an older epoch may for the tasks that it had by then,
// which streamsGroup.staleCommit finds out partition by partition.
func (g *streamsGroup) validateCommit(memberID string, epoch int32, version int16) *kerr.Error {
	m := g.members[memberID]
	switch {
	case epoch < 0 && len(g.members) == 0:
		return nil
	case m == nil:
		return kerr.UnknownMemberID
	case version < 9:
		return kerr.UnsupportedVersion
	case epoch > m.epoch:
		return kerr.StaleMemberEpoch
	case epoch < m.epoch && g.topology == nil:
		return kerr.StaleMemberEpoch
	}
	return nil
}

// staleCommit refuses a partition whose task the member was given later than the epoch it commits with.
func (g *streamsGroup) staleCommit(memberID string, epoch int32, topic string, partition int32) *kerr.Error {
	m := g.members[memberID]
	if m == nil || epoch >= m.epoch || epoch < 0 && len(g.members) == 0 {
		return nil
	}
	subtopology, reads := g.topology.ReaderOf(topic)
	if !reads {
		return kerr.StaleMemberEpoch
	}
	t := assignor.Task{Subtopology: subtopology, Partition: partition}
	given, has := m.assigned.active[t]
	if !has {
		given, has = m.revoking.active[t]
	}
	if !has || epoch < given {
		return kerr.StaleMemberEpoch
	}
	return nil
}

// validateFetch says whether offsets may be told.
func (g *streamsGroup) validateFetch(memberID *string, epoch int32) *kerr.Error {
	if memberID == nil && epoch < 0 {
		return nil
	}
	if memberID == nil || g.members[*memberID] == nil {
		return kerr.UnknownMemberID
	}
	if g.members[*memberID].epoch != epoch {
		return kerr.StaleMemberEpoch
	}
	return nil
}

// startStreamsSession starts a member's session anew.
func (s *shard) startStreamsSession(key groupKey, id string, now time.Time) {
	soft := s.streamsSoftOf(key)
	t := soft.sessions[id]
	if t == nil {
		t = newTimer(func(now time.Time, do *effects) { s.fenceStreams(key, id, "its session ended", do) })
		soft.sessions[id] = t
	}
	s.timers.schedule(t, now.Add(millis(s.streamsSettings(key).SessionTimeoutMillis)))
}

// watchStreamsRevocation gives a member that has to give tasks up a deadline for it; the others have none.
func (s *shard) watchStreamsRevocation(key groupKey, m *streamsMember, now time.Time) {
	soft := s.streamsSoftOf(key)
	t := soft.revocations[m.id]
	if m.state != memberUnrevoked {
		s.timers.cancel(t)
		return
	}
	if t == nil {
		t = newTimer(nil)
		soft.revocations[m.id] = t
	}
	id, epoch := m.id, m.epoch
	t.fire = func(_ time.Time, do *effects) {
		if g := s.streamsOf(key); g != nil && g.members[id] != nil && g.members[id].epoch == epoch {
			s.fenceStreams(key, id, "it did not give tasks up in time", do)
		}
	}
	s.timers.schedule(t, now.Add(millis(m.rebalanceTimeoutMillis)))
}

// cancelStreams ends a member's deadlines.
func (s *shard) cancelStreams(key groupKey, id string) {
	soft := s.streamsSoftOf(key)
	s.timers.cancel(soft.sessions[id])
	s.timers.cancel(soft.revocations[id])
	delete(soft.sessions, id)
	delete(soft.revocations, id)
}
