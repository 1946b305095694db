package replica

import "time"

// Doubtful reports that another replica may lead this partition without this broker knowing of it: its session at the
// controller may have ended, as after a pause of the process or behind a broken network, and of those who could have been
// elected at least one is there, as far as this broker can tell, and has not fetched from here of late. What this broker then
// knows of the ends of the partition, and what a coordinator that lives in it knows, may be older than what readers were told
// elsewhere.
//
// A broker whose session is held leads what its image says, or is in sync with who does: a successor commits nothing before
// this broker follows it. One that cannot reach the controller but is read by all others, but for those whose processes have
// ended, knows as much: so what is left of a cluster without a quorum goes on. Kafka does not ask: its former leaders answer
// until they learn better.
func (p *Partition) Doubtful() bool {
	m := p.manager
	if m.cfg.SessionHeld == nil || m.cfg.SessionHeld() {
		return false
	}
	s := p.leadership.Load()
	if s == nil || s.Leader != m.cfg.NodeID {
		return false // asked for in vain: its role says more
	}
	now := m.cfg.Clock()
	for _, electable := range [][]int32{s.ISR, s.ELR} {
		for _, id := range electable {
			if id != m.cfg.NodeID && !p.readBy(id, now) && !m.gone(id) {
				return true
			}
		}
	}
	return false
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
