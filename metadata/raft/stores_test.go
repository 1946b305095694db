package raft

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	hraft "github.com/hashicorp/raft"
)

func TestStateFileSurvivesATornSlot(t *testing.T) {
	path := filepath.Join(t.TempDir(), stateFile)
	solo := new(atomic.Bool)
	s, err := openStateFile(path, solo)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.create(identity{nodeID: 1, clusterID: "c", directoryID: [16]byte{1, 2}}, bootstrapTerm); err != nil {
		t.Fatal(err)
	}
	for term := uint64(2); term <= 5; term++ {
		if err := errors.Join(s.SetUint64(keyCurrentTerm, term), s.SetUint64(keyLastVoteTerm, term), s.Set(keyLastVoteCand, []byte("1"))); err != nil {
			t.Fatal(err)
		}
	}
	newest := 1 + s.sequence%2
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range stateSlotSize {
		torn := bytes.Clone(p)
		clear(torn[newest*stateSlotSize+uint64(cut) : (newest+1)*stateSlotSize])
		back := &stateFileStore{solo: solo}
		if err := back.decode(torn); err != nil {
			t.Fatal(err)
		}
		if back.identity != (identity{1, "c", [16]byte{1, 2}}) || back.term < 5 || back.voteTerm != 4 && back.voteTerm != 5 {
			t.Fatalf("torn at %d: %+v", cut, back)
		}
	}
}

func TestOnlyVoterHoldsBackEmptyEntries(t *testing.T) {
	solo := new(atomic.Bool)
	solo.Store(true)
	inner := hraft.NewInmemStore()
	s := newSoloLog(inner, solo)
	if err := s.StoreLog(&hraft.Log{Index: 1, Type: hraft.LogNoop}); err != nil {
		t.Fatal(err)
	}
	if last, _ := inner.LastIndex(); last != 0 {
		t.Error("an empty entry was written")
	}
	var got hraft.Log
	if last, _ := s.LastIndex(); last != 1 || s.GetLog(1, &got) != nil || got.Index != 1 {
		t.Errorf("the held entry is not there: last %d, %+v", last, got)
	}
	if err := s.StoreLog(&hraft.Log{Index: 2, Type: hraft.LogCommand}); err != nil {
		t.Fatal(err)
	}
	if first, _ := inner.FirstIndex(); first != 1 {
		t.Errorf("the log begins at %d: the held entry was not written with the next", first)
	}
	two := hraft.Configuration{Servers: []hraft.Server{{ID: "1", Address: "1"}, {ID: "2", Address: "2"}}}
	if err := s.StoreLogs([]*hraft.Log{{Index: 3, Type: hraft.LogConfiguration, Data: hraft.EncodeConfiguration(two)}, {Index: 4, Type: hraft.LogNoop}}); err != nil {
		t.Fatal(err)
	}
	if err := s.StoreLog(&hraft.Log{Index: 5, Type: hraft.LogNoop}); err != nil {
		t.Fatal(err)
	}
	if last, _ := inner.LastIndex(); last != 5 {
		t.Errorf("with two voters the log ends at %d: an entry was held back", last)
	}
}

// hashicorp/raft may set the term from two goroutines: neither a slot nor what is answered may be a mixture.
func TestTermsAndVotesOfTwoGoroutinesAreKeptWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), stateFile)
	s, err := openStateFile(path, new(atomic.Bool))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.create(identity{nodeID: 1, clusterID: "c", directoryID: [16]byte{1}}, bootstrapTerm); err != nil {
		t.Fatal(err)
	}
	const last = 60
	var writers sync.WaitGroup
	for range 2 {
		writers.Go(func() {
			for term := uint64(2); term <= last; term++ {
				if err := s.SetUint64(keyCurrentTerm, term); err != nil {
					t.Error(err)
				}
				if got, _ := s.GetUint64(keyCurrentTerm); got < term {
					t.Errorf("the term went from %d back to %d", term, got)
				}
			}
		})
	}
	for term := uint64(2); term <= last; term++ {
		if err := errors.Join(s.SetUint64(keyLastVoteTerm, term), s.Set(keyLastVoteCand, []byte("2"))); err != nil {
			t.Error(err)
		}
	}
	writers.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	back, err := openStateFile(path, new(atomic.Bool))
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if back.term != last || back.voteTerm != last || string(back.vote) != "2" {
		t.Errorf("term %d, vote for %q in %d; want %d, 2, %d", back.term, back.vote, back.voteTerm, last, last)
	}
}
