package raft

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	hraft "github.com/hashicorp/raft"
)

// fullLog is a log on a disk that can be full. Entries can be taken out of it all the same.
type fullLog struct {
	hraft.LogStore
	full atomic.Bool
}

func (l *fullLog) StoreLogs(logs []*hraft.Log) error {
	if l.full.Load() {
		return syscall.ENOSPC
	}
	return l.LogStore.StoreLogs(logs)
}

func (l *fullLog) probe() error {
	if l.full.Load() {
		return syscall.ENOSPC
	}
	return nil
}

// openOnDisks makes n voters whose disks can be full.
func openOnDisks(t *testing.T, n int) (c *company, disks []*fullLog) {
	t.Helper()
	c = openCompany(t, n)
	for _, q := range c.quorums {
		disk := &fullLog{LogStore: q.stores.logs}
		disks = append(disks, disk)
		q.stores.logs, q.stores.probe = &latchedLog{latch: q.latch, inner: disk}, disk.probe
	}
	c.begin(t)
	return c, disks
}

// mustKnowTheSame gives the members a while, and wants each to have applied what the leader has.
func (c *company) mustKnowTheSame(t *testing.T) {
	t.Helper()
	time.Sleep(5 * time.Second)
	want := c.tapes[c.leader(t, 0, 1, 2)].text()
	for i, tape := range c.tapes {
		if got := tape.text(); got != want {
			t.Errorf("member %d has applied %q, want %q", i+1, got, want)
		}
	}
}

// A leader whose disk is full is followed by one with room, and by itself never again while it is full, though its log is
// as long as any. It votes.
func TestMemberOnAFullDiskVotesButDoesNotStand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, disks := openOnDisks(t, 3)
		defer c.close(t)
		full := c.leader(t, 0, 1, 2)
		rest := c.others(full)
		c.propose(t, "a", 0, 1, 2)
		disks[full].full.Store(true)
		if _, _, err := c.quorums[full].Propose([]byte("refused")); err == nil {
			t.Fatal("an entry was acknowledged that the leader could not store")
		}
		if !c.quorums[full].Barred() || c.quorums[full].StandIfIdle(c.quorums[full].raft.CurrentTerm()) {
			t.Error("the member on the full disk stands")
		}
		c.propose(t, "b", rest...)
		term := c.quorums[full].State().Term
		for range 300 {
			time.Sleep(100 * time.Millisecond)
			if state := c.quorums[full].raft.State(); state != hraft.Follower {
				t.Fatalf("the member on the full disk is a %v", state)
			}
		}
		if now := c.quorums[full].State().Term; now != term {
			t.Errorf("%d elections in half a minute without a fault", now-term)
		}

		leader := c.leader(t, rest...)
		heir := 3 - full - leader
		c.hub.isolate(address(leader), true)
		for range 60_000 {
			if c.quorums[heir].raft.State() == hraft.Leader {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if c.quorums[heir].raft.State() != hraft.Leader {
			t.Error("with the vote of the member on the full disk nobody was elected in a minute")
		}
		c.hub.isolate(address(leader), false)
		c.propose(t, "c", rest...)
		disks[full].full.Store(false)
		c.mustKnowTheSame(t)
		time.Sleep(maxSpaceHold)
		if c.quorums[full].Barred() {
			t.Error("with room again the member does not stand")
		}
		c.hub.isolate(address(heir), true)
		c.propose(t, "d", full, leader)
		c.hub.isolate(address(heir), false)
		c.mustKnowTheSame(t)
	})
}

// Where every voter is full nobody is elected to no purpose, and with room again one leads.
func TestNobodyStandsWhereAllDisksAreFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, disks := openOnDisks(t, 3)
		defer c.close(t)
		c.propose(t, "a", 0, 1, 2)
		for _, d := range disks {
			d.full.Store(true)
		}
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			for i, q := range c.quorums {
				if !q.Leads() {
					continue
				}
				if _, _, err := q.Propose([]byte(fmt.Sprint("refused by ", i))); err == nil {
					t.Error("an entry was acknowledged that nobody could store")
				}
			}
		}
		terms := func() (sum uint64) {
			for _, q := range c.quorums {
				sum += q.State().Term
			}
			return sum
		}
		before := terms()
		time.Sleep(5 * time.Minute)
		if now := terms(); now != before {
			t.Errorf("while all disks are full there are elections: terms went from %d to %d", before, now)
		}
		for _, d := range disks {
			d.full.Store(false)
		}
		c.propose(t, "b", 0, 1, 2)
		c.mustKnowTheSame(t)
	})
}

// A leader that stops does not make a member lead that could append nothing: neither one that has refused its entries, nor one
// with as much of the log as any.
func TestLeadershipIsNotHandedToAMemberOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, disks := openOnDisks(t, 3)
		defer c.close(t)
		c.propose(t, "a", 0, 1, 2)
		time.Sleep(time.Second)
		leader := c.leader(t, 0, 1, 2)
		full := c.others(leader)[0] // of equals the first is the heir
		c.quorums[full].latch.space.note(syscall.ENOSPC, time.Now())
		if heir, ok := c.quorums[leader].heir(); !ok || heir.ID != c.quorums[full].self.serverID() {
			t.Fatalf("the heir is %+v", heir)
		}
		if c.quorums[leader].HandOver() || c.leader(t, 0, 1, 2) != leader {
			t.Error("leadership was handed to a member on a full disk")
		}
		disks[full].full.Store(true)
		c.propose(t, "b", leader)
		time.Sleep(100 * time.Millisecond)
		rest := 3 - leader - full
		if heir, ok := c.quorums[leader].heir(); !ok || heir.ID != c.quorums[rest].self.serverID() {
			t.Errorf("with one that refuses entries the heir is %+v, want the other", heir)
		}
		if !c.quorums[leader].HandOver() || c.leader(t, full, rest) != rest {
			t.Error("leadership was not handed to the member with room")
		}
	})
}

// A follower on a full disk cuts off what its leader does not have, and cannot store what the leader has. With room again it
// takes that up.
func TestFollowerThatWasCutOnAFullDiskGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, disks := openOnDisks(t, 3)
		defer c.close(t)
		old := c.leader(t, 0, 1, 2)
		c.propose(t, "a", 0, 1, 2)
		c.hub.isolate(address(old), true)
		if _, _, err := c.quorums[old].Propose([]byte("lost")); err == nil {
			t.Error("a leader without a majority acknowledged")
		}
		c.propose(t, "b", c.others(old)...)
		disks[old].full.Store(true)
		c.hub.isolate(address(old), false)
		for range 600 {
			if c.quorums[old].cut.open() {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if !c.quorums[old].cut.open() || !c.quorums[old].Barred() {
			t.Error("the follower was not cut, or stands for election all the same")
		}
		disks[old].full.Store(false)
		c.mustKnowTheSame(t)
		if c.quorums[old].cut.open() {
			t.Error("the cut counts though it was filled")
		}
	})
}
