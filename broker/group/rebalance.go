package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// rebalanceOrComplete starts a rebalance, or ends the gathering of the one that runs.
func (s *shard) rebalanceOrComplete(g *group, reason string, now time.Time, do *effects) {
	if g.canRebalance() {
		s.prepareRebalance(g, reason, now, do)
	} else {
		s.completeIfJoined(g, now, do)
	}
}

// prepareRebalance begins to gather members. Those that wait for an assignment have to join again. A group that was
// empty waits group.initial.rebalance.delay.ms, so that a fleet that starts together is one generation.
func (s *shard) prepareRebalance(g *group, reason string, now time.Time, do *effects) {
	if !g.unwritten {
		do.note("group starts to rebalance", g, "state", g.state.String(), "members", len(g.members), "reason", reason)
	}
	if g.state == completingRebalance {
		s.propagateError(g, kerr.RebalanceInProgress, now, do)
	}
	s.endSyncs(g, syncError(kerr.RebalanceInProgress), now, do)
	s.stopSync(g)
	first := g.state == empty
	s.transition(g, preparingRebalance, now)
	if !first {
		s.completeOrWait(g, now, do)
		return
	}
	delay := millis(s.settings().InitialRebalanceDelayMillis)
	g.newMemberAt = now
	s.delayInitial(g, now.Add(delay), now.Add(max(g.rebalanceTimeout(), delay)))
}

// delayInitial waits until due. If members came meanwhile it waits until nobody came for the length of the delay, but
// not longer than latest. Kafka waits for whole delays; this is over earlier and gathers the same members.
func (s *shard) delayInitial(g *group, due, latest time.Time) {
	g.joinTimer.fire = func(now time.Time, do *effects) {
		quiet := g.newMemberAt.Add(millis(s.settings().InitialRebalanceDelayMillis))
		if quiet.After(latest) {
			quiet = latest
		}
		if quiet.After(now) {
			s.delayInitial(g, quiet, latest)
			return
		}
		s.completeJoin(g, now, do)
	}
	s.timers.schedule(g.joinTimer, due)
}

// completeOrWait goes on when everybody is here, and otherwise gives them the rebalance timeout.
func (s *shard) completeOrWait(g *group, now time.Time, do *effects) {
	if g.hasAllJoined() {
		s.completeJoin(g, now, do)
	} else {
		s.awaitJoins(g, now)
	}
}

func (s *shard) awaitJoins(g *group, now time.Time) {
	g.joinTimer.fire = func(now time.Time, do *effects) { s.completeJoin(g, now, do) }
	s.timers.schedule(g.joinTimer, now.Add(g.rebalanceTimeout()))
}

// completeIfJoined ends the gathering early when nobody is missing; the initial delay always runs its time.
func (s *shard) completeIfJoined(g *group, now time.Time, do *effects) {
	if g.state == preparingRebalance && g.previous != empty && g.hasAllJoined() {
		s.completeJoin(g, now, do)
	}
}

// completeJoin ends the gathering: dynamic members that did not come back are out, the others get the next generation.
// Static members keep their place until their session ends.
func (s *shard) completeJoin(g *group, now time.Time, do *effects) {
	s.timers.cancel(g.joinTimer)
	if g.state != preparingRebalance {
		return
	}
	for _, m := range append([]*member(nil), g.members...) {
		if m.join == 0 && m.instanceID == nil {
			do.note("member did not rejoin", g, "member", m.id)
			s.dropMember(g, m.id)
		}
	}
	if !g.electJoinedLeader() && len(g.members) > 0 {
		s.awaitJoins(g, now) // only absent static members are left: until they come or their sessions end
		return
	}
	g.generation++
	clear(g.pendingSync)
	if len(g.members) == 0 {
		s.becomeEmpty(g, now, do)
		return
	}
	g.protocol = g.selectProtocol()
	g.learnTopics()
	s.transition(g, completingRebalance, now)
	if !g.unwritten {
		do.noteGeneration(g)
	}
	for _, m := range g.members {
		s.answerJoin(g, m, s.generationFor(g, m), do)
		s.startSession(g, m, millis(m.sessionTimeoutMillis), now)
		m.isNew = false
		g.pendingSync[m.id] = true
	}
	s.awaitSyncs(g, now)
}

// becomeEmpty writes that nobody is left. Should that fail, the log keeps the last generation, whose members have no
// sessions any more: whoever loads it finds that out in time.
func (s *shard) becomeEmpty(g *group, now time.Time, do *effects) {
	g.protocol = nil
	g.learnTopics()
	s.transition(g, empty, now)
	do.note("group is empty", g)
	do.write(groupRecord(g.key, g.snapshot(nil)))
}

// awaitSyncs gives the members the rebalance timeout to send SyncGroup (KAFKA-12495); who does not is out.
func (s *shard) awaitSyncs(g *group, now time.Time) {
	generation := g.generation
	g.syncTimer.fire = func(now time.Time, do *effects) {
		if g.generation != generation || len(g.pendingSync) == 0 || g.state != completingRebalance && g.state != stable {
			return
		}
		for _, m := range append([]*member(nil), g.members...) {
			if g.pendingSync[m.id] {
				s.dropMember(g, m.id)
			}
		}
		s.prepareRebalance(g, "members did not send SyncGroup", now, do)
	}
	s.timers.schedule(g.syncTimer, now.Add(g.rebalanceTimeout()))
}

func (s *shard) stopSync(g *group) {
	clear(g.pendingSync)
	s.timers.cancel(g.syncTimer)
}

// startSession starts a member's session anew.
func (s *shard) startSession(g *group, m *member, timeout time.Duration, now time.Time) {
	if m.session == nil {
		m.session = g.newTimer(func(now time.Time, do *effects) { s.expireMember(g, m, now, do) })
	}
	s.timers.schedule(m.session, now.Add(timeout))
}

// expireMember ends a session. A member whose request waits here is alive, unless it is new: it may be long gone.
func (s *shard) expireMember(g *group, m *member, now time.Time, do *effects) {
	if g.byID[m.id] != m || !m.isNew && (m.join != 0 || m.sync != 0) {
		return
	}
	do.note("member failed", g, "member", m.id)
	s.removeMember(g, m, do)
	s.afterRemoval(g, now, do)
	s.forgetLeft(g, do)
}

// removeMember takes a member out; a request of it that waits is told, so that the client joins again.
func (s *shard) removeMember(g *group, m *member, do *effects) {
	s.answerJoin(g, m, joinError("", kerr.UnknownMemberID), do)
	s.answerSync(m, syncError(kerr.UnknownMemberID), do)
	s.dropMember(g, m.id)
}

// afterRemoval rebalances the members that are left.
func (s *shard) afterRemoval(g *group, now time.Time, do *effects) {
	switch g.state {
	case stable, completingRebalance:
		s.prepareRebalance(g, "a member failed", now, do)
	case preparingRebalance:
		if g.hasAllJoined() {
			s.completeJoin(g, now, do)
		}
	}
}

// dropMember takes a member out without a word.
func (s *shard) dropMember(g *group, memberID string) {
	if m := g.byID[memberID]; m != nil {
		s.timers.cancel(m.session)
	}
	g.remove(memberID)
	s.dropPending(g, memberID)
}

func (s *shard) dropPending(g *group, memberID string) {
	if t := g.pendingJoin[memberID]; t != nil {
		s.timers.cancel(t)
		delete(g.pendingJoin, memberID)
	}
}

// expirePending forgets an id that was handed out and never used.
func (s *shard) expirePending(g *group, memberID string, now time.Time, do *effects) {
	s.dropPending(g, memberID)
	s.afterPendingLeft(g, now, do)
}

func (s *shard) afterPendingLeft(g *group, now time.Time, do *effects) {
	if g.state == preparingRebalance && g.hasAllJoined() {
		s.completeJoin(g, now, do)
	}
	s.releaseLater(g)
}
