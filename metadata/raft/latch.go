package raft

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	hraft "github.com/hashicorp/raft"
)

// errKeyNotFound is the text that hashicorp/raft takes for a key that was never set.
var errKeyNotFound = errors.New("not found")

// latch remembers the first storage error. What a store holds after a failed write or fsync is not known, so nothing may
// be asked of it again before the process has started anew and read what is really there.
type latch struct {
	failed chan struct{} // closed with the first error
	space  space

	mu  sync.Mutex
	err error // guarded by mu
}

func newLatch() *latch {
	return &latch{failed: make(chan struct{}), space: space{filled: make(chan struct{}, 1)}}
}

func (l *latch) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *latch) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
		close(l.failed)
	}
}

// guard runs one operation of a store unless an earlier one failed. A full disk is not a failure: the operation was
// refused before it changed anything.
func (l *latch) guard(operation string, run func() error) error {
	if err := l.Err(); err != nil {
		return fmt.Errorf("%s: the metadata store has failed before: %w", operation, err)
	}
	err := run()
	if err == nil || errors.Is(err, hraft.ErrLogNotFound) || err.Error() == errKeyNotFound.Error() {
		return err
	}
	err = fmt.Errorf("%s: %w", operation, err)
	if !errors.Is(err, syscall.ENOSPC) {
		l.fail(err)
	}
	return err
}

// latchedLog is a log store behind a latch.
type latchedLog struct {
	latch *latch
	inner hraft.LogStore
}

func (s *latchedLog) FirstIndex() (index uint64, err error) {
	err = s.latch.guard("read first index of metadata log", func() error { index, err = s.inner.FirstIndex(); return err })
	return index, err
}

func (s *latchedLog) LastIndex() (index uint64, err error) {
	err = s.latch.guard("read last index of metadata log", func() error { index, err = s.inner.LastIndex(); return err })
	return index, err
}

func (s *latchedLog) GetLog(index uint64, log *hraft.Log) error {
	return s.latch.guard("read metadata log", func() error { return s.inner.GetLog(index, log) })
}

func (s *latchedLog) StoreLog(log *hraft.Log) error { return s.StoreLogs([]*hraft.Log{log}) }

func (s *latchedLog) StoreLogs(logs []*hraft.Log) error {
	err := s.latch.guard("append to metadata log", func() error { return s.inner.StoreLogs(logs) })
	s.latch.space.note(err, time.Now())
	return err
}

func (s *latchedLog) DeleteRange(min, max uint64) error {
	return s.latch.guard("truncate metadata log", func() error { return s.inner.DeleteRange(min, max) })
}

// latchedStable is a stable store behind a latch.
type latchedStable struct {
	latch *latch
	inner hraft.StableStore
}

func (s *latchedStable) Set(key, value []byte) error {
	return s.latch.guard("write vote", func() error { return s.inner.Set(key, value) })
}

func (s *latchedStable) Get(key []byte) (value []byte, err error) {
	err = s.latch.guard("read vote", func() error { value, err = s.inner.Get(key); return err })
	return value, err
}

// SetUint64 reports success for a term that could not be written: hashicorp/raft panics otherwise. The latch holds by
// then, so that neither a vote nor an entry of that term is ever acknowledged.
func (s *latchedStable) SetUint64(key []byte, value uint64) error {
	err := s.latch.guard("write term", func() error { return s.inner.SetUint64(key, value) })
	if err != nil && string(key) == string(keyCurrentTerm) {
		s.latch.fail(err)
		return nil
	}
	return err
}

func (s *latchedStable) GetUint64(key []byte) (value uint64, err error) {
	err = s.latch.guard("read term", func() error { value, err = s.inner.GetUint64(key); return err })
	return value, err
}

// endingLog stands on top of a log. Where hashicorp/raft panics because a committed entry cannot be read, it ends raft's
// goroutine instead, deferred calls included: the latch holds, so the member neither votes nor acknowledges any more, and
// the process stops in order.
type endingLog struct {
	hraft.LogStore
	latch *latch
	armed atomic.Bool // once raft runs; before that its caller's goroutine reads, and is told
}

func (s *endingLog) GetLog(index uint64, log *hraft.Log) error {
	err := s.LogStore.GetLog(index, log)
	if err != nil && s.armed.Load() && s.latch.Err() != nil {
		runtime.Goexit()
	}
	return err
}
