package replica

import (
	"slices"
	"time"
)

// Standing is how sure a broker is that nobody leads a partition in its place.
type Standing int8

// The standings.
const (
	Sure     Standing = iota // nobody else can lead without this broker knowing of it
	Unsure                   // somebody could, but seems to follow this broker: Manager.Confirm finds out
	Doubtful                 // somebody else may lead, or this broker does not lead any more
)

// Standing is that of the leader of an epoch, for who has read from the partition after the epoch and before asking for it:
// only so what was read is of that leadership. It does not wait.
//
// A broker's session at the controller may have ended without it knowing, as after a pause of the process or behind a broken
// network, and others may have been elected. What it then knows of the ends of a partition, and what a coordinator that lives
// in it knows, may be older than what readers were told elsewhere. A broker whose session is held leads what its image says,
// or is in sync with who does: a successor commits nothing before this broker follows it. One that cannot reach the
// controller, but is followed by all others who could have been elected, but for those whose processes have ended, knows as
// much: so what is left of a cluster without a quorum goes on. Kafka does not ask: its former leaders answer until they learn
// better.
//
// That somebody follows is what its fetches said of a moment ago, so it is asked again for each answer (Manager.Confirm). Why
// no successor has told anything before an answer that all electable ones confirmed:
//
//   - Who can be elected. In this leader epoch the in-sync set grows by what this leader proposes, and by nothing else; those
//     eligible below min.insync.replicas (ELR, KIP-966) were in it. So the sets of the image, of the controller's last answer
//     and of a proposal whose outcome is not known (isr.Leader.Maximal) have all that the controller can elect; where the
//     topic allows unclean elections any replica is one. A successor that never took up its role changes no set, so the first
//     that did take it up is one of these, however many were elected. It may have brought in others, as a reassignment
//     does; it need not lead any more.
//   - It says no. Whoever took up another role has another state of the partition from then on, by which alone it appends and
//     answers as the leader, and whose epoch is later. FollowsIn looks at that state. A replica that only follows may be
//     behind, and confirm: another one is the successor then, and does not.
//   - It remembers. A broker that was started anew has read its metadata anew, and could be as far as before it led. It
//     confirms nothing before its image has what was decided before its own registration (Manager.caughtUp).
//   - What is asked came before. A round trip that began after the question came tells of a moment after it; what was read in
//     this epoch is then as new as anything that anybody was told before the question.
//
// It does not cover who led and whose process has ended since, because nobody is left to say so while the others that could have
// been elected are gone, too: until they are back this broker tells what it knew. Nor does it cover unclean elections that this
// broker could not expect: an operator's (ElectLeaders), and those that the topic allows since it lost its controller.
func (p *Partition) Standing(leaderEpoch int32) Standing {
	m := p.manager
	if m.cfg.SessionHeld == nil {
		return Sure
	}
	held := m.cfg.SessionHeld() // before the role: what is handled by now shows in it
	s := p.leadership.Load()
	switch {
	case s == nil || s.Leader != m.cfg.NodeID || s.LeaderEpoch != leaderEpoch:
		return Doubtful
	case held:
		return Sure
	}
	others, leads := p.electable(leaderEpoch)
	now := m.cfg.Clock()
	silent := func(id int32) bool { return !p.readBy(id, now) && !m.gone(id) }
	switch {
	case !leads || slices.ContainsFunc(others, silent):
		return Doubtful
	case len(others) == 0:
		return Sure
	}
	return Unsure
}

// electable are the other brokers of which the controller may have elected one since, or more, while this broker knows of
// itself as the leader of an epoch; leads is false when it does not.
func (p *Partition) electable(leaderEpoch int32) (others []int32, leads bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, self := p.leadership.Load(), p.manager.cfg.NodeID
	if s == nil || s.Leader != self || s.LeaderEpoch != leaderEpoch || p.leader == nil {
		return nil, false
	}
	others = slices.Concat(s.ISR, s.ELR, p.leader.Maximal())
	if p.Topic.Settings().UncleanElection {
		others = append(others, s.Replicas...)
	}
	slices.Sort(others)
	return slices.DeleteFunc(slices.Compact(others), func(id int32) bool { return id == self }), true
}

func (m *Manager) gone(id int32) bool { return m.cfg.Gone != nil && m.cfg.Gone(id) }

// readBy reports that a replica has followed this leader, in its epoch, until just now.
func (p *Partition) readBy(id int32, now time.Time) bool {
	p.mu.Lock()
	follows := p.leader != nil && p.leader.Follows(id)
	p.mu.Unlock()
	all := p.sessions.Load()
	if !follows || all == nil {
		return false
	}
	for _, e := range *all {
		if e.session.NodeID == id && e.session.silence(now) < 2*p.manager.cfg.FetchWait {
			return true
		}
	}
	return false
}

// Heard notes that the follower has asked again; what it does not name it reads on as before. All that this says of time is
// that the follower was there after the answer before was written: the request itself may have lain in a socket while this
// process was paused, or on a way that was broken, and its sender follows another by now.
func (s *FollowerSession) Heard() {
	s.mu.Lock()
	s.heard = s.told
	s.mu.Unlock()
}

// silence is for how long nothing is known of the follower. It has not been heard of before its second request.
func (s *FollowerSession) silence(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Elapsed(s.heard, now)
}

// Elapsed is the time between two readings of the clock, by the monotonic clock or by the wall's, whichever says more: a
// machine that was suspended may have stopped the one.
func Elapsed(from, to time.Time) time.Duration {
	return max(to.Sub(from), to.Round(0).Sub(from.Round(0)))
}
