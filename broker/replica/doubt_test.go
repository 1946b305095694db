package replica

import (
	"testing"
	"time"
)

func TestLeaderWhoseSessionIsHeldIsNotInDoubt(t *testing.T) {
	m := newMesh(t, 3)
	m.create("orders", nil, []int32{1, 2, 3})
	m.nodes[2].stop()
	m.nodes[3].stop()
	if m.on(1, "orders", 0).Doubtful() {
		t.Error("in doubt while the session is held")
	}
}

func TestLeaderThatAllOthersReadIsNotInDoubt(t *testing.T) {
	m := newMesh(t, 3)
	m.create("orders", nil, []int32{1, 2, 3})
	p := m.on(1, "orders", 0)
	m.nodes[1].lapsed.Store(true)
	m.eventually("both followers read", func() bool { return !p.Doubtful() })
	m.nodes[1].deaf.Store(true) // who is in sync stays as it was
	m.nodes[3].stop()
	m.eventually("one follower is silent", p.Doubtful)
	m.nodes[1].sees.Store(3)
	if p.Doubtful() {
		t.Error("in doubt of a replica whose process has ended")
	}
	m.nodes[1].sees.Store(0)
	m.nodes[3].run()
	m.eventually("it reads again", func() bool { return !p.Doubtful() })
}

func TestLeaderWithASuccessorIsInDoubt(t *testing.T) {
	m := newMesh(t, 3)
	m.create("orders", nil, []int32{1, 2, 3})
	p := m.on(1, "orders", 0)
	mustAppend(t, m, 1, "a")
	m.nodes[1].deaf.Store(true)
	m.nodes[1].lapsed.Store(true)
	m.fence(1)
	successor := m.state("orders", 0).Leader
	mustAppend(t, m, successor, "b")
	if !p.Leads() {
		t.Fatal("the old leader knows of the new one")
	}
	m.eventually("the old leader is in doubt", p.Doubtful)
}

// A follower that is connected and silent, as behind a broken network or after a pause of this process, counts for nothing.
func TestSilentFollowerLeavesTheLeaderInDoubt(t *testing.T) {
	m := newMesh(t, 2)
	m.create("orders", nil, []int32{1, 2})
	p := m.on(1, "orders", 0)
	m.nodes[1].lapsed.Store(true)
	m.eventually("the follower reads", func() bool { return !p.Doubtful() })
	m.nodes[1].deaf.Store(true)
	m.nodes[1].later.Store(int64(3 * time.Minute)) // a fetch waits for one
	if !p.Doubtful() {
		t.Error("not in doubt though the follower has been silent for three minutes")
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
