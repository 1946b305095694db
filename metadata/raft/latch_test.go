package raft

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	hraft "github.com/hashicorp/raft"
)

func TestUnknownEntryFailsTheNode(t *testing.T) {
	q, m := start(t, testConfig(""))
	defer stop(t, q)
	m.refuse = "newer"
	if _, _, err := q.Propose([]byte("newer")); err == nil {
		t.Error("an entry that cannot be understood was acknowledged")
	}
	<-q.Failed()
	if q.Leads() || !strings.Contains(q.Err().Error(), "newer release") {
		t.Errorf("leads %v, error %v", q.Leads(), q.Err())
	}
	if _, _, err := q.Propose([]byte("x")); err == nil {
		t.Error("a failed node acknowledged")
	}
}

// failingLog fails appends from the given one on.
type failingLog struct {
	hraft.LogStore
	left atomic.Int32
	err  error
}

func (s *failingLog) StoreLogs(logs []*hraft.Log) error {
	if s.left.Add(-1) < 0 {
		return s.err
	}
	return s.LogStore.StoreLogs(logs)
}

func TestFirstStorageErrorEndsEverything(t *testing.T) {
	for n := range 4 {
		t.Run(fmt.Sprint("append ", n), func(t *testing.T) {
			q, err := Open(testConfig(""), new(tape))
			if err != nil {
				t.Fatal(err)
			}
			defer stop(t, q)
			failing := &failingLog{LogStore: q.stores.logs, err: syscall.EIO}
			failing.left.Store(int32(n))
			q.stores.logs = &latchedLog{latch: q.latch, inner: failing}
			if err := q.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			acknowledged := 0
			for range 6 {
				if _, _, err := q.Propose([]byte("e")); err == nil {
					acknowledged++
				}
				failing.left.Store(max(failing.left.Load(), -1)) // the disk works again; the latch must not care
				if q.Err() != nil {
					failing.left.Store(100)
				}
			}
			if acknowledged != n {
				t.Errorf("%d entries were acknowledged, want %d", acknowledged, n)
			}
			if !errors.Is(q.Err(), syscall.EIO) || q.Leads() {
				t.Errorf("error %v, leads %v", q.Err(), q.Leads())
			}
			select {
			case <-q.Failed():
			default:
				t.Error("Failed is not closed")
			}
		})
	}
}

func TestFullDiskRefusesAndRecovers(t *testing.T) {
	q, err := Open(testConfig(""), new(tape))
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, q)
	failing := &failingLog{LogStore: q.stores.logs, err: syscall.ENOSPC}
	failing.left.Store(1)
	q.stores.logs = &latchedLog{latch: q.latch, inner: failing}
	if err := q.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	propose(t, q, "a")
	if _, _, err := q.Propose([]byte("b")); !errors.Is(err, ErrNoSpace) {
		t.Errorf("on a full disk: %v, want ErrNoSpace", err)
	}
	failing.left.Store(100)
	deadline := time.After(10 * time.Second)
	for {
		if _, _, err := q.Propose([]byte("c")); err == nil {
			break
		} else if q.Err() != nil {
			t.Fatal(q.Err())
		}
		select {
		case <-deadline:
			t.Fatal("the node did not recover when space returned")
		case <-time.After(10 * time.Millisecond):
		}
	}
}
