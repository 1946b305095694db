package replica

import (
	"testing"
	"time"
)

// standing is that of a node's replica in the epoch in which it leads.
func (m *mesh) standing(id int32, topic string) Standing {
	p := m.on(id, topic, 0)
	return p.Standing(p.LeaderEpoch())
}

func (m *mesh) awaitStanding(want Standing, why string) {
	m.t.Helper()
	m.eventually(why, func() bool { return m.standing(1, "orders") == want })
}

// confirmed reports whether the others confirm that node 1 leads.
func (m *mesh) confirmed() bool {
	p := m.on(1, "orders", 0)
	return p.manager.Confirm(m.t.Context(), Claim{p, p.LeaderEpoch()})[0]
}

func TestLeaderWhoseSessionIsHeldIsSure(t *testing.T) {
	m := newMesh(t, 3)
	m.create("orders", nil, []int32{1, 2, 3})
	m.nodes[2].stop()
	m.nodes[3].stop()
	if got := m.standing(1, "orders"); got != Sure {
		t.Errorf("%v while the session is held", got)
	}
	p := m.on(1, "orders", 0)
	if got := p.Standing(p.LeaderEpoch() - 1); got != Doubtful {
		t.Errorf("%v in an epoch that is over", got)
	}
}

func TestLeaderThatAllOthersFollowIsConfirmed(t *testing.T) {
	m := newMesh(t, 3)
	m.create("orders", nil, []int32{1, 2, 3})
	m.nodes[1].lapsed.Store(true)
	m.awaitStanding(Unsure, "both followers read")
	if !m.confirmed() {
		t.Error("not confirmed by two followers")
	}
	m.nodes[1].deaf.Store(true) // who is in sync stays as it was
	m.nodes[3].stop()
	m.awaitStanding(Doubtful, "one follower is silent")
	m.nodes[1].sees.Store(3)
	if got := m.standing(1, "orders"); got != Unsure || !m.confirmed() {
		t.Errorf("%v, and not confirmed, beside a replica whose process has ended", got)
	}
	m.nodes[1].sees.Store(0)
	m.nodes[3].run()
	m.awaitStanding(Unsure, "it reads again")
}

func TestLeaderWithoutOtherReplicasIsSure(t *testing.T) {
	m := newMesh(t, 2)
	m.create("orders", nil, []int32{1})
	m.nodes[1].lapsed.Store(true)
	if got := m.standing(1, "orders"); got != Sure || !m.confirmed() {
		t.Errorf("%v, where nobody else can be elected", got)
	}
}

func TestLeaderWithASuccessorIsInDoubt(t *testing.T) {
	m := newMesh(t, 3)
	m.create("orders", nil, []int32{1, 2, 3})
	mustAppend(t, m, 1, "a")
	m.nodes[1].deaf.Store(true)
	m.nodes[1].lapsed.Store(true)
	m.fence(1)
	successor := m.state("orders", 0).Leader
	mustAppend(t, m, successor, "b")
	if !m.on(1, "orders", 0).Leads() {
		t.Fatal("the old leader knows of the new one")
	}
	m.awaitStanding(Doubtful, "the old leader is in doubt")
	if m.confirmed() {
		t.Error("the old leader is confirmed")
	}
}

// A follower that is connected and silent, as behind a broken network or after a pause of this process, counts for nothing.
func TestSilentFollowerLeavesTheLeaderInDoubt(t *testing.T) {
	m := newMesh(t, 2)
	m.create("orders", nil, []int32{1, 2})
	m.nodes[1].lapsed.Store(true)
	m.awaitStanding(Unsure, "the follower reads")
	m.nodes[1].deaf.Store(true)
	m.nodes[1].later.Store(int64(3 * time.Minute)) // a fetch waits for one
	if got := m.standing(1, "orders"); got != Doubtful {
		t.Errorf("%v though the follower has been silent for three minutes", got)
	}
}

// Where any replica may be elected, one that is not in sync matters, too.
func TestLeaderIsInDoubtOfWhoCanBeElectedUnclean(t *testing.T) {
	for setting, want := range map[string]Standing{"false": Unsure, "true": Doubtful} {
		m := newMesh(t, 3)
		m.create("orders", map[string]string{"unclean.leader.election.enable": setting}, []int32{1, 2, 3})
		m.nodes[3].stop()
		m.fence(3)
		m.nodes[1].lapsed.Store(true)
		p := m.on(1, "orders", 0)
		m.eventually("the follower in sync reads", func() bool { return p.readBy(2, m.nodes[1].now()) })
		if got := m.standing(1, "orders"); got != want {
			t.Errorf("%v, want %v, with unclean elections: %s", got, want, setting)
		}
	}
}

// A request of a follower that is read only now, after a pause of this process, says that the follower was there before.
func TestRequestThatWasReadLateDoesNotEndTheDoubt(t *testing.T) {
	m := newMesh(t, 2)
	node := m.nodes[1]
	s := node.manager.NewFollowerSession(2, 1, nil)
	defer s.Close()
	if silence := s.silence(node.manager.cfg.Clock()); silence < time.Hour {
		t.Errorf("a follower that has asked once was heard of %v ago", silence)
	}
	s.Told(nil)
	node.later.Store(int64(time.Minute))
	s.Heard()
	if silence := s.silence(node.manager.cfg.Clock()); silence < time.Minute {
		t.Errorf("a follower that was answered a minute ago and whose request is read now was heard of %v ago", silence)
	}
	s.Told(nil)
	s.Heard()
	if silence := s.silence(node.manager.cfg.Clock()); silence > time.Minute/2 {
		t.Errorf("a follower that has just asked again was heard of %v ago", silence)
	}
}

func TestElapsedTakesTheClockThatSaysMore(t *testing.T) {
	now := time.Now()
	suspended := now.Round(0).Add(time.Hour) // has no monotonic reading
	for _, c := range []struct {
		name     string
		from, to time.Time
		want     time.Duration
	}{
		{"both", now, now.Add(time.Second), time.Second},
		{"the wall alone", now, suspended, time.Hour},
	} {
		if got := Elapsed(c.from, c.to); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
