package raft

import (
	"log/slog"
	"sync/atomic"
	"testing"

	hraft "github.com/hashicorp/raft"
)

func TestHeartbeatOfAnotherTermGoesThroughTheLoop(t *testing.T) {
	hub, logger := newHub(), slog.New(slog.DiscardHandler)
	open := func(i int) *transport {
		self := Member{NodeID: int32(i + 1), DirectoryID: [16]byte{byte(i + 1)}, Address: address(i)}
		return newTransport(hub.open(address(i)), self.serverAddress(), logger, func() *hraft.Raft { return nil }, func() bool { return false })
	}
	leader, follower := open(0), open(1)
	defer leader.Close()
	defer follower.Close()
	var beside atomic.Int32
	follower.SetHeartbeatHandler(func(rpc hraft.RPC) {
		beside.Add(1)
		rpc.Respond(&hraft.AppendEntriesResponse{}, nil)
	})
	stop := make(chan struct{})
	defer close(stop)
	go func() { // joined by the leak check
		select {
		case rpc := <-follower.Consumer():
			rpc.Respond(&hraft.AppendEntriesResponse{Term: rpc.Command.(*hraft.AppendEntriesRequest).Term, Success: true}, nil)
		case <-stop:
		}
	}()
	heartbeat := &hraft.AppendEntriesRequest{Term: 7, RPCHeader: hraft.RPCHeader{Addr: leader.EncodePeer("1", leader.LocalAddr())}}
	var answer hraft.AppendEntriesResponse
	if err := leader.AppendEntries("2", follower.LocalAddr(), heartbeat, &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Term != 7 || beside.Load() != 0 {
		t.Errorf("answered %+v; %d of 1 heartbeats of an unknown term passed by the loop", answer, beside.Load())
	}
}
