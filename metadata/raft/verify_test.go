package raft

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// valve holds back what a member is answered, and then lets it ask nothing more.
type valve struct {
	opened chan struct{}
	mute   bool // guarded by the hub's mu
}

// throttled is a stream that a member dialled.
type throttled struct {
	net.Conn
	hub *hub
	by  string
}

func (c throttled) valve() (v *valve, mute bool) {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	v = c.hub.valve[c.by]
	return v, v != nil && v.mute
}

func (c throttled) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if v, _ := c.valve(); v != nil {
		<-v.opened
	}
	return n, err
}

func (c throttled) Write(b []byte) (int, error) {
	if _, mute := c.valve(); mute {
		return 0, errNetwork
	}
	return c.Conn.Write(b)
}

// An answer to a heartbeat that was sent before does not confirm that this node leads now: after a pause of its process, or
// on a slow way, the answers of those who have elected another since are still to be read.
func TestAnswersToEarlierHeartbeatsConfirmNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCompany(t, 3)
		c.begin(t)
		defer c.close(t)
		c.propose(t, "a", 0, 1, 2)
		old := c.leader(t, 0, 1, 2)
		if err := c.quorums[old].VerifyLeader(t.Context()); err != nil {
			t.Fatalf("a leader that all hear: %v", err)
		}
		v := &valve{opened: make(chan struct{})}
		c.hub.mu.Lock()
		c.hub.valve[address(old)] = v
		c.hub.mu.Unlock()
		time.Sleep(300 * time.Millisecond) // heartbeats are answered, and the answers are held back
		verified := make(chan error)
		go func() { verified <- c.quorums[old].VerifyLeader(t.Context()) }()
		synctest.Wait()
		c.hub.mu.Lock()
		v.mute = true
		c.hub.mu.Unlock()
		close(v.opened)
		if err := <-verified; !errors.Is(err, ErrNotLeader) {
			t.Errorf("a leader that hears answers of earlier alone: %v", err)
		}
		c.hub.mu.Lock()
		delete(c.hub.valve, address(old))
		c.hub.mu.Unlock()
		c.propose(t, "b", 0, 1, 2)
	})
}
