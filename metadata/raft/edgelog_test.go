package raft

import (
	"bytes"
	"errors"
	"io"
	"testing"

	hraft "github.com/hashicorp/raft"
)

// silent is a state machine of no interest.
type silent struct{}

func (silent) Apply(*hraft.Log) any                 { return nil }
func (silent) Snapshot() (hraft.FSMSnapshot, error) { return nil, errors.New("none") }
func (silent) Restore(r io.ReadCloser) error        { _, err := io.Copy(io.Discard, r); return err }

// snapshotUpTo is a store of one snapshot.
func snapshotUpTo(t *testing.T, index, term uint64) *hraft.InmemSnapshotStore {
	t.Helper()
	snapshots := hraft.NewInmemSnapshotStore()
	_, transport := hraft.NewInmemTransport("1")
	three := hraft.Configuration{Servers: []hraft.Server{{ID: "1", Address: "1"}, {ID: "2", Address: "2"}, {ID: "3", Address: "3"}}}
	sink, err := snapshots.Create(hraft.SnapshotVersionMax, index, term, three, 1, transport)
	if err == nil {
		_, err = io.Copy(sink, bytes.NewReader([]byte("state")))
	}
	if err == nil {
		err = sink.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return snapshots
}

func entries(term uint64, indexes ...uint64) (list []*hraft.Log) {
	for _, index := range indexes {
		list = append(list, &hraft.Log{Index: index, Term: term, Type: hraft.LogCommand})
	}
	return list
}

// A member has the snapshot of 1 to 65 and entry 66, and starts; its leader, which does not know that it has 66, sends what
// follows 65.
func TestMemberGoesOnBehindItsSnapshot(t *testing.T) {
	for name, before := range map[string][]uint64{"nothing before it": nil, "a log with a hole": {3, 4}, "a log up to it": {63, 64}} {
		t.Run(name, func(t *testing.T) {
			inner, snapshots := hraft.NewInmemStore(), snapshotUpTo(t, 65, 2)
			if err := inner.StoreLogs(append(entries(2, before...), entries(2, 66)...)); err != nil {
				t.Fatal(err)
			}
			address, member := hraft.NewInmemTransport("2")
			_, leader := hraft.NewInmemTransport("1")
			leader.Connect(address, member)
			cfg := hraft.DefaultConfig()
			cfg.LocalID, cfg.LogOutput = "2", io.Discard
			log := &edgeLog{LogStore: inner, snapshots: snapshots, leads: func() bool { return false }}
			raft, err := hraft.NewRaft(cfg, silent{}, log, hraft.NewInmemStore(), snapshots, member)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = raft.Shutdown().Error() }()
			var answer hraft.AppendEntriesResponse
			for range 2 { // the entries before it are dropped at the first attempt
				request := &hraft.AppendEntriesRequest{RPCHeader: hraft.RPCHeader{ProtocolVersion: cfg.ProtocolVersion, ID: []byte("1"), Addr: []byte("1")},
					Term: 2, PrevLogEntry: 65, PrevLogTerm: 2, Entries: entries(2, 66, 67)}
				if err := leader.AppendEntries("2", address, request, &answer); err != nil {
					t.Fatal(err)
				}
			}
			if !answer.Success || raft.LastIndex() != 67 {
				t.Errorf("answered %+v, the log ends at %d; want 67", answer, raft.LastIndex())
			}
		})
	}
}

func TestEdgeIsNoEntryForALeader(t *testing.T) {
	inner, leads := hraft.NewInmemStore(), true
	if err := inner.StoreLogs(entries(2, 63, 64, 66)); err != nil {
		t.Fatal(err)
	}
	log := &edgeLog{LogStore: inner, snapshots: snapshotUpTo(t, 65, 2), leads: func() bool { return leads }}
	var got hraft.Log
	if err := log.GetLog(65, &got); !errors.Is(err, hraft.ErrLogNotFound) {
		t.Errorf("a leader was given %+v, %v", got, err)
	}
	leads = false
	if err := log.GetLog(65, &got); !errors.Is(err, hraft.ErrLogNotFound) {
		t.Errorf("with entries before it: %+v, %v", got, err)
	}
	if err := log.GetLog(64, &got); !errors.Is(err, hraft.ErrLogNotFound) {
		t.Errorf("the entries before it are still there: %+v, %v", got, err)
	}
	if err := log.GetLog(65, &got); err != nil || got.Term != 2 || got.Index != 65 {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := log.GetLog(62, &got); !errors.Is(err, hraft.ErrLogNotFound) {
		t.Errorf("another missing entry is %+v, %v", got, err)
	}
}
