package raft

import (
	"errors"

	hraft "github.com/hashicorp/raft"
)

// edgeLog is a log that also knows the last entry of the newest snapshot, by its term. A member that was sent a snapshot has
// not the entries that it holds; hashicorp/raft asks the log for the one before those that a leader sends, and refuses them
// when it is not there, although it is in the snapshot. With nothing but that entry missing, it went on until the leader made
// another snapshot: a member that stopped after the first entry behind its snapshot, before it could say so, stood still.
//
// A leader is not told of it: it could send it on as if it were the entry itself.
type edgeLog struct {
	hraft.LogStore
	snapshots hraft.SnapshotStore
	leads     func() bool // this member is, or may be, the leader
}

// GetLog implements hraft.LogStore.
func (l *edgeLog) GetLog(index uint64, log *hraft.Log) error {
	err := l.LogStore.GetLog(index, log)
	if index < 2 || !errors.Is(err, hraft.ErrLogNotFound) || l.leads() {
		return err
	}
	found, listErr := l.snapshots.List()
	if listErr != nil || len(found) == 0 || found[0].Index != index {
		return err
	}
	if dropped, dropErr := l.dropBefore(index); dropped || dropErr != nil {
		return err // asked again, it knows
	}
	*log = hraft.Log{Index: index, Term: found[0].Term, Type: hraft.LogNoop}
	return nil
}

// dropBefore takes entries out that reach up to the last one of the snapshot, which holds them: with them gone, nobody can
// come from them to it and take it for more than it is.
func (l *edgeLog) dropBefore(index uint64) (dropped bool, err error) {
	if err := l.LogStore.GetLog(index-1, new(hraft.Log)); err != nil {
		return false, nil
	}
	first, err := l.LogStore.FirstIndex()
	if err != nil {
		return false, err
	}
	return true, l.LogStore.DeleteRange(first, index-1)
}
