package group

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// shard is the state machine of one partition of __consumer_offsets: the groups whose ids hash to it. It is pure;
// package coordinator runs it. Its methods are spread over the files named after what they decide.
type shard struct {
	settings func() Settings
	topics   func() Topics
	now      time.Time // of the step that runs, or ran last
	groups   map[groupKey]*group
	open     map[int64]map[groupKey]bool // producers with pending offsets, and in which groups
	order    int64                       // of the last offset that was replayed
	timers   timers
	sweep    *timer // looks for expired offsets while there are groups
	journal  []func()
	keeping  bool // between Begin and Commit or Rollback
	figures  figures
	leaving  []*group // groups of which nothing may be left once the records of the step are replayed
	shares   map[groupKey]*shareTimers
	streams  map[groupKey]*streamsSoft
	telling  []announcement // what this step brought to those who wait
	stranded []*group       // consumer groups that came back with an undone write, and have classic members by now
}

// figures are what metrics tell of a shard.
type figures struct {
	groups                                [stateCount]int64
	consumers                             [consumerStateCount]int64
	streams                               [streamsStateCount]int64
	shares, offsets                       int64
	commits, expired, deleted, rebalances int64
}

func newShard(settings func() Settings, topics func() Topics) *shard {
	s := &shard{settings: settings, topics: topics, groups: make(map[groupKey]*group), open: make(map[int64]map[groupKey]bool), shares: make(map[groupKey]*shareTimers), streams: make(map[groupKey]*streamsSoft)}
	s.sweep = newTimer(s.expireOffsets)
	return s
}

// effects gathers what a step wants done.
type effects struct{ coordinator.Result }

func (e *effects) write(records ...coordinator.Record) { e.Records = append(e.Records, records...) }

// note tells an operator what happened to a group.
func (e *effects) note(message string, g *group, attributes ...any) {
	generation := g.generation
	if g.consumer != nil {
		generation = g.consumer.epoch
	}
	attributes = append([]any{"group", g.key.id, "generation", generation}, attributes...)
	if g.key.tenant != defaultTenant {
		attributes = append(attributes, "tenant", g.key.tenant)
	}
	e.Notes = append(e.Notes, coordinator.Note{Message: message, Attributes: attributes})
}

func (e *effects) noteGeneration(g *group) {
	e.note("group has a new generation", g, "members", len(g.members), "protocol", *g.protocol)
}

// reply answers when what is written is committed.
func (e *effects) reply(ticket coordinator.Ticket, response any) {
	e.Replies = append(e.Replies, coordinator.Reply{Ticket: ticket, Response: response})
}

// replyNow answers with what does not depend on the log.
func (e *effects) replyNow(ticket coordinator.Ticket, response any) {
	e.Replies = append(e.Replies, coordinator.Reply{Ticket: ticket, Response: response, Now: true})
}

// Step implements coordinator.Shard.
func (s *shard) Step(event any, ticket coordinator.Ticket, now time.Time) coordinator.Result {
	do := &effects{}
	s.now = now
	s.dropStranded(do)
	for _, g := range s.leaving {
		s.release(g)
	}
	clear(s.leaving)
	s.leaving = s.leaving[:0]
	switch e := event.(type) {
	case coordinator.Tick:
		// What one timer writes is replayed before the next one looks: those that are left are due still.
		for t := s.timers.popDue(now); t != nil; t = s.timers.popDue(now) {
			if t.group == nil || s.groups[t.group.key] == t.group {
				t.fire(now, do)
			}
			if len(do.Records) > 0 || do.Then != nil {
				break
			}
		}
	case coordinator.Outcome:
		s.onOutcome(e, now, do)
	case joinRequest:
		s.joinGroup(e, ticket, now, do)
	case syncRequest:
		s.syncGroup(e, ticket, now, do)
	case heartbeatRequest:
		s.heartbeat(e, ticket, now, do)
	case leaveRequest:
		s.leaveGroup(e, ticket, now, do)
	case commitRequest:
		s.commitOffsets(e, ticket, now, do)
	case transactionCommitRequest:
		s.commitInTransaction(e, ticket, now, do)
	case fetchRequest:
		s.fetchOffsets(e, ticket, do)
	case deleteOffsetsRequest:
		s.deleteOffsets(e, ticket, do)
	case deleteGroupsRequest:
		s.deleteGroups(e, ticket, do)
	case consumerHeartbeatRequest:
		s.consumerHeartbeat(e, ticket, now, do)
	case describeConsumersRequest:
		do.reply(ticket, s.describeConsumers(e, now))
	case shareHeartbeatRequest:
		s.shareHeartbeat(e, ticket, now, do)
	case shareInitialized:
		s.shareInitialized(e, ticket, now, do)
	case describeSharesRequest:
		do.reply(ticket, s.describeShares(e))
	case shareOffsetsRequest:
		do.reply(ticket, s.shareOffsets(e))
	case alterShareRequest:
		s.alterShare(e, ticket, now, do)
	case forgetShareRequest:
		s.forgetShare(e, ticket, now, do)
	case streamsHeartbeatRequest:
		s.streamsHeartbeat(e, ticket, now, do)
	case describeStreamsRequest:
		do.reply(ticket, s.describeStreams(e))
	case topicsChanged:
		s.onTopicsChanged(e, now, do)
	case describeRequest:
		do.replyNow(ticket, s.describe(e))
	case listRequest:
		do.replyNow(ticket, s.list(e))
	case committedRequest: // of metrics, which must not wait for a log that nobody can write to
		do.replyNow(ticket, s.committed())
	case topicDeleted:
		s.dropTopic(e, do)
	default:
		panic(fmt.Sprintf("BUG: group shard got %T", event))
	}
	s.watchOffsets(now)
	return do.Result
}

func (s *shard) onOutcome(o coordinator.Outcome, now time.Time, do *effects) {
	switch e := o.Event.(type) {
	case assignmentWritten:
		s.onAssignmentWritten(e, o.Err, now, do)
	case staticMemberWritten:
		s.onStaticMemberWritten(e, o.Err, now, do)
	case downgraded:
		s.onDowngraded(e, o.Err, now, do)
	default:
		panic(fmt.Sprintf("BUG: group shard got the outcome of %T", o.Event))
	}
}

// NextDeadline implements coordinator.Shard.
func (s *shard) NextDeadline() (time.Time, bool) { return s.timers.next() }

// Settled implements coordinator.Shard; whoever counts wraps the shard.
func (s *shard) Settled() {
	for _, a := range s.telling {
		a.of.tell(a.said)
	}
	clear(s.telling)
	s.telling = s.telling[:0]
}

// Closed implements coordinator.Shard: whoever waits for news asks again, and finds out who is the coordinator now.
func (s *shard) Closed() {
	for _, g := range s.groups {
		g.news.tell(kerr.NotCoordinator)
		if g.consumer != nil {
			g.consumer.news.tell(nil)
		}
	}
}

// lookup returns the group, nil if there is none.
func (s *shard) lookup(key groupKey) *group { return s.groups[key] }

// obtain returns the group, which it makes if there is none.
func (s *shard) obtain(key groupKey) *group {
	g := s.groups[key]
	if g == nil {
		g = &group{key: key, stateChangedMillis: -1, news: &news{}}
		g.joinTimer, g.syncTimer = g.newTimer(nil), g.newTimer(nil)
		s.insert(g)
	}
	return g
}

// newTimer makes a timer that rings only while the group is what its id names.
func (g *group) newTimer(fire func(now time.Time, do *effects)) *timer {
	t := newTimer(fire)
	t.group = g
	return t
}

func (s *shard) insert(g *group) {
	s.groups[g.key] = g
	s.count(g)
}

// count and uncount keep the figures of states; what changes a group's state stands between them.
func (s *shard) count(g *group)   { s.countBy(g, 1) }
func (s *shard) uncount(g *group) { s.countBy(g, -1) }

func (s *shard) countBy(g *group, by int64) {
	if g.consumer != nil {
		s.figures.consumers[g.consumer.state()] += by
	} else if g.share != nil {
		s.figures.shares += by
	} else if g.streams != nil {
		s.figures.streams[g.streams.state()] += by
	} else {
		s.figures.groups[g.state] += by
	}
}

// releaseLater has the next step forget the group if nothing is left of it then: what this step writes of it is not
// replayed yet.
func (s *shard) releaseLater(g *group) { s.leaving = append(s.leaving, g) }

// release forgets the group if nothing is left of it.
func (s *shard) release(g *group) {
	if g.isGone() && s.groups[g.key] == g {
		delete(s.groups, g.key)
		s.uncount(g)
		s.timers.cancel(g.joinTimer)
		s.timers.cancel(g.syncTimer)
	}
}

func (s *shard) transition(g *group, to state, now time.Time) {
	s.uncount(g)
	g.previous, g.state = g.state, to
	s.count(g)
	g.stateChangedMillis = now.UnixMilli()
	if to == preparingRebalance {
		s.telling = append(s.telling, announcement{g.news, kerr.RebalanceInProgress})
	}
}

// watchOffsets sees to it that expired offsets are looked for.
func (s *shard) watchOffsets(now time.Time) {
	if s.sweep.index < 0 && len(s.groups) > 0 {
		s.timers.schedule(s.sweep, now.Add(millis(s.settings().OffsetsRetentionCheckMillis)))
	}
}

func millis[N int32 | int64](n N) time.Duration { return time.Duration(n) * time.Millisecond }
