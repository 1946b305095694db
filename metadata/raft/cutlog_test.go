package raft

import (
	"errors"
	"testing"

	hraft "github.com/hashicorp/raft"
)

// What is cut off the end is told to be something else until entries take its place; what is dropped at the beginning is not.
func TestCutLog(t *testing.T) {
	inner := hraft.NewInmemStore()
	l := &cutLog{LogStore: inner, latch: newLatch()}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var entry hraft.Log
	must(l.StoreLogs(entries(1, 1, 2, 3, 4, 5, 6)))
	must(l.DeleteRange(1, 2))
	if err := l.GetLog(2, &entry); !errors.Is(err, hraft.ErrLogNotFound) || l.open() {
		t.Errorf("an entry that was dropped at the beginning is %+v, %v", entry, err)
	}
	must(l.DeleteRange(5, 6))
	for _, index := range []uint64{5, 6} {
		if err := l.GetLog(index, &entry); err != nil || entry.Term != 0 || entry.Index != index || !l.open() {
			t.Errorf("entry %d that was cut off is %+v, %v", index, entry, err)
		}
	}
	if err := l.GetLog(7, &entry); !errors.Is(err, hraft.ErrLogNotFound) {
		t.Errorf("an entry that never was is %+v, %v", entry, err)
	}
	must(l.DeleteRange(4, 6)) // as hashicorp/raft does again, when it is sent other entries
	must(l.StoreLogs(entries(2, 4)))
	if err := l.GetLog(5, &entry); !errors.Is(err, hraft.ErrLogNotFound) || l.open() {
		t.Errorf("with the cut filled an entry behind it is %+v, %v", entry, err)
	}
	must(l.DeleteRange(4, 4))
	if err := l.StoreLogs(entries(2, 5)); err == nil || l.latch.Err() == nil {
		t.Errorf("entries behind a gap were stored: %v, the node has failed: %v", err, l.latch.Err())
	}
}
