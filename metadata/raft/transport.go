package raft

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	hraft "github.com/hashicorp/raft"
)

const (
	rpcTimeout    = 3 * time.Second        // of one request to another member
	retryInterval = 50 * time.Millisecond  // between attempts to reach a follower that does not answer
	fullInterval  = 500 * time.Millisecond // between attempts at a follower that cannot store what it is sent
	fullPatience  = 10 * time.Second       // after which hashicorp/raft looks for another place to send from
	pooledStreams = 3                      // to one member: entries, what is committed, and votes
	commitTimeout = 100 * time.Millisecond // after which an idle leader says again what is committed
)

// errBarred is what a leader is told that orders a member to succeed it that does not stand for election.
var errBarred = errors.New("the disk of this member takes no entries")

// transport is hashicorp/raft's network transport with things added for a leader: it keeps account of what followers have
// answered, and requests of when; it tells followers at once what has become committed, which hashicorp/raft leaves for the next entry or
// the next tick; and it tries to reach a follower that is away as often as is useful, where hashicorp/raft would wait up to
// ten seconds after a longer absence.
type transport struct {
	*hraft.NetworkTransport
	layer    *layer
	progress *progress
	logger   *slog.Logger
	raft     func() *hraft.Raft // nil before NewRaft has returned
	barred   func() bool        // this member does not stand for election
	requests chan hraft.RPC
	// forwarded is closed when forward has ended
	forwarded chan struct{}

	mu      sync.Mutex // guards the rest
	closed  bool
	stop    chan struct{}  // closed by shut
	woken   chan struct{}  // closed when somebody who was away may be back
	telling sync.WaitGroup // Go is called with mu held and closed false
}

func newTransport(streams Streams, self hraft.ServerAddress, logger *slog.Logger, raft func() *hraft.Raft, barred func() bool) *transport {
	t := &transport{progress: newProgress(), logger: logger, raft: raft, barred: barred, requests: make(chan hraft.RPC), forwarded: make(chan struct{}), stop: make(chan struct{}), woken: make(chan struct{})}
	t.layer = newLayer(streams, self, t.wake)
	t.NetworkTransport = hraft.NewNetworkTransportWithConfig(&hraft.NetworkTransportConfig{
		Logger: newLogger(logger), Stream: t.layer, MaxPool: pooledStreams, Timeout: rpcTimeout,
		MaxRPCsInFlight: 1, // the proposer has one entry on its way at a time, and every answer passes through AppendEntries
	})
	go t.forward() // joined by Close
	return t
}

// Consumer implements hraft.Transport: what other members ask, and what this one tells itself.
func (t *transport) Consumer() <-chan hraft.RPC { return t.requests }

// SetHeartbeatHandler implements hraft.Transport. hashicorp/raft answers heartbeats beside its loop, so that a member whose
// disk is slow is not taken for dead. One that changes term or role would be carried out there, too, while the loop may be
// voting in another term; it goes through the loop like every other request.
func (t *transport) SetHeartbeatHandler(handle func(hraft.RPC)) {
	t.NetworkTransport.SetHeartbeatHandler(func(rpc hraft.RPC) {
		request, ok := rpc.Command.(*hraft.AppendEntriesRequest)
		if r := t.raft(); ok && r != nil && r.State() == hraft.Follower && r.CurrentTerm() == request.Term {
			handle(rpc)
			return
		}
		t.order(rpc, t.stop)
	})
}

// forward runs until shut. It is the only way into hashicorp/raft's loop, and closed once the transport is.
func (t *transport) forward() {
	defer close(t.forwarded)
	for {
		select {
		case rpc := <-t.NetworkTransport.Consumer():
			if _, stands := rpc.Command.(*hraft.TimeoutNowRequest); stands && t.barred() {
				rpc.Respond(nil, errBarred) // it would stand without asking anybody first
				continue
			}
			t.order(rpc, t.stop)
		case <-t.stop:
			return
		}
	}
}

// order gives raft's loop a request.
func (t *transport) order(rpc hraft.RPC, stop <-chan struct{}) {
	select {
	case t.requests <- rpc:
	case <-stop:
	case <-t.stop:
	}
}

// wake makes those who wait for a follower try again now.
func (t *transport) wake() {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.woken)
	t.woken = make(chan struct{})
}

// shut ends every stream and everybody who waits in the transport. It may be called again.
func (t *transport) shut() {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return
	}
	t.closed = true
	close(t.stop)
	t.mu.Unlock()
	_ = t.NetworkTransport.Close() // closes the layer
}

// Close implements hraft.WithClose.
func (t *transport) Close() error {
	t.shut()
	t.telling.Wait()
	<-t.forwarded
	return nil
}

// AppendEntries implements hraft.Transport. It returns when the follower has answered, and for a while not before one that
// cannot store the entries can: hashicorp/raft would come back after up to ten seconds.
func (t *transport) AppendEntries(id hraft.ServerID, target hraft.ServerAddress, args *hraft.AppendEntriesRequest, resp *hraft.AppendEntriesResponse) error {
	for began := time.Now(); ; *resp = (hraft.AppendEntriesResponse{}) {
		sent := time.Now()
		err := onFreshStream(func() error { return t.NetworkTransport.AppendEntries(id, target, args, resp) })
		pause := retryInterval
		switch {
		case err == nil:
			t.answered(id, target, sent, args, resp)
			if !isNotStored(args, resp) {
				return nil
			}
			resp.NoRetryBackoff = true // there is a pause here
			pause = fullInterval
		case t.progress.failed(id, args.Term):
			t.logger.Warn("member of the metadata quorum does not answer", "member", string(target), "error", err)
		}
		if isHeartbeat(args) || err == nil && time.Since(began) > fullPatience || !t.again(id, target, args.Term, pause) {
			return err
		}
	}
}

// isNotStored tells the answer of a follower that could store the entries if its disk let it: to any other place, or in any
// other term, hashicorp/raft says so, or that there is no need to wait.
func isNotStored(args *hraft.AppendEntriesRequest, resp *hraft.AppendEntriesResponse) bool {
	return len(args.Entries) > 0 && !resp.Success && !resp.NoRetryBackoff && resp.Term <= args.Term
}

func (t *transport) answered(id hraft.ServerID, target hraft.ServerAddress, sent time.Time, args *hraft.AppendEntriesRequest, resp *hraft.AppendEntriesResponse) {
	last := uint64(0)
	if r := t.raft(); r != nil {
		last = r.LastIndex()
	}
	if t.progress.answered(id, target, sent, args, resp, last) {
		t.logger.Info("member of the metadata quorum answers again", "member", string(target))
		t.wake()
	}
	t.tell(id)
}

// again waits for the next attempt; false when there is none to make: this node leads no more, the follower is no
// member or has moved, or the node stops.
func (t *transport) again(id hraft.ServerID, target hraft.ServerAddress, term uint64, pause time.Duration) bool {
	t.mu.Lock()
	woken := t.woken
	t.mu.Unlock()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-woken:
	case <-t.stop:
		return false
	}
	r := t.raft()
	if r == nil || r.State() != hraft.Leader || r.CurrentTerm() != term {
		return false
	}
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if s.ID == id {
			return s.Address == target
		}
	}
	return false
}

// RequestVote implements hraft.Transport.
func (t *transport) RequestVote(id hraft.ServerID, target hraft.ServerAddress, args *hraft.RequestVoteRequest, resp *hraft.RequestVoteResponse) error {
	return onFreshStream(func() error { return t.NetworkTransport.RequestVote(id, target, args, resp) })
}

// RequestPreVote implements hraft.WithPreVote. A member that is barred asks nobody, and is refused in their name: so it stays a
// candidate that gets nowhere, votes for others and follows whom they elect.
func (t *transport) RequestPreVote(id hraft.ServerID, target hraft.ServerAddress, args *hraft.RequestPreVoteRequest, resp *hraft.RequestPreVoteResponse) error {
	if t.barred() {
		*resp = hraft.RequestPreVoteResponse{RPCHeader: args.RPCHeader, Term: args.Term}
		return nil
	}
	return onFreshStream(func() error { return t.NetworkTransport.RequestPreVote(id, target, args, resp) })
}

// TimeoutNow implements hraft.Transport.
func (t *transport) TimeoutNow(id hraft.ServerID, target hraft.ServerAddress, args *hraft.TimeoutNowRequest, resp *hraft.TimeoutNowResponse) error {
	return onFreshStream(func() error { return t.NetworkTransport.TimeoutNow(id, target, args, resp) })
}

// onFreshStream repeats a request, which must bear that, over as many streams as may be pooled: those of a process that has
// started anew since are dead, and an election must not fail for that.
func onFreshStream(request func() error) error {
	err := request()
	for range pooledStreams {
		if !isDeadStream(err) {
			break
		}
		err = request()
	}
	return err
}

func isDeadStream(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, net.ErrClosed) || err != nil && strings.Contains(err.Error(), "EOF") // the decoder's own
}

// InstallSnapshot implements hraft.Transport.
func (t *transport) InstallSnapshot(id hraft.ServerID, target hraft.ServerAddress, args *hraft.InstallSnapshotRequest, resp *hraft.InstallSnapshotResponse, data io.Reader) error {
	err := t.NetworkTransport.InstallSnapshot(id, target, args, resp, data)
	if err == nil && resp.Success {
		t.progress.installed(id, args)
	}
	return err
}

// tellAll tells every follower what has become committed.
func (t *transport) tellAll() {
	if r := t.raft(); r == nil || r.State() != hraft.Leader {
		return
	}
	for _, id := range t.progress.ids() {
		t.tell(id)
	}
}

// tell starts a goroutine that tells one follower, unless there is nothing to tell or one does.
func (t *transport) tell(id hraft.ServerID) {
	r := t.raft()
	if r == nil || r.State() != hraft.Leader {
		return
	}
	target, args := t.progress.more(id, r.CommitIndex())
	if args == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		t.progress.toldAll(id)
		return
	}
	t.telling.Go(func() {
		var resp hraft.AppendEntriesResponse
		sent := time.Now()
		err := t.NetworkTransport.AppendEntries(id, target, args, &resp)
		t.progress.toldAll(id)
		if err == nil && resp.Success {
			t.answered(id, target, sent, args, &resp) // and tells the rest, if more has become committed
		}
	})
}
