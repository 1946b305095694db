package raft

import (
	"errors"
	"fmt"
	"sync/atomic"

	hraft "github.com/hashicorp/raft"
)

// cutLog is a log that remembers what was cut off its end until entries have taken that place. A follower cuts entries that its
// leader does not have, and stores the leader's in their place. When the disk refuses those, hashicorp/raft goes on to believe
// that the log reaches to where it did, does not find what is not there, and refuses every entry of its leader from then on.
// It is told instead that something else is there, and so cuts and stores anew when it is sent them again.
//
// Until then the member must not be elected: it would go on behind entries that it does not have.
type cutLog struct {
	hraft.LogStore
	latch *latch
	gone  atomic.Pointer[span] // nil: nothing. Written by the goroutine of hashicorp/raft, which alone cuts and appends
}

// span is the indexes of entries, both ends included.
type span struct{ first, last uint64 }

// open reports that a cut has not been filled yet.
func (l *cutLog) open() bool { return l.gone.Load() != nil }

func (l *cutLog) DeleteRange(first, last uint64) error {
	end, err := l.LogStore.LastIndex()
	if err != nil {
		return err
	}
	if err := l.LogStore.DeleteRange(first, last); err != nil {
		return err
	}
	if last < end { // what a snapshot holds is dropped at the beginning
		return nil
	}
	if gone := l.gone.Load(); gone != nil {
		first, last = min(first, gone.first), max(last, gone.last)
	}
	l.gone.Store(&span{first, last})
	return nil
}

func (l *cutLog) GetLog(index uint64, log *hraft.Log) error {
	err := l.LogStore.GetLog(index, log)
	if gone := l.gone.Load(); gone != nil && errors.Is(err, hraft.ErrLogNotFound) && gone.first <= index && index <= gone.last {
		*log = hraft.Log{Index: index, Type: hraft.LogNoop} // of term 0, which nobody's entry is of
		return nil
	}
	return err
}

func (l *cutLog) StoreLog(log *hraft.Log) error { return l.StoreLogs([]*hraft.Log{log}) }

// StoreLogs ends the node where entries would leave a gap: their leader has what was cut, and believes that it is here, too.
func (l *cutLog) StoreLogs(logs []*hraft.Log) error {
	if gone := l.gone.Load(); gone != nil && logs[0].Index > gone.first {
		err := fmt.Errorf("append to metadata log: entries from %d on were cut off, and those from %d on would leave a gap", gone.first, logs[0].Index)
		l.latch.fail(err)
		return err
	}
	err := l.LogStore.StoreLogs(logs)
	if err == nil {
		l.gone.Store(nil)
	}
	return err
}
