package raft

import (
	"sync/atomic"

	hraft "github.com/hashicorp/raft"
)

// soloLog holds back the entries without content (each new leader writes one) of an only voter until an entry with
// content comes, and writes them with it. A start of one node then costs no write to the log. An only voter that loses
// such an entry in a crash has promised it to nobody. Owned by the goroutine of hashicorp/raft, which alone appends;
// held is replaced as a whole because others read.
type soloLog struct {
	inner hraft.LogStore
	solo  *atomic.Bool
	held  atomic.Pointer[[]*hraft.Log]
}

func newSoloLog(inner hraft.LogStore, solo *atomic.Bool) *soloLog {
	s := &soloLog{inner: inner, solo: solo}
	s.held.Store(new([]*hraft.Log))
	return s
}

func (s *soloLog) StoreLog(log *hraft.Log) error { return s.StoreLogs([]*hraft.Log{log}) }

func (s *soloLog) StoreLogs(logs []*hraft.Log) error {
	empty := true
	for _, log := range logs {
		empty = empty && log.Type == hraft.LogNoop
		if log.Type == hraft.LogConfiguration {
			s.solo.Store(s.solo.Load() && voterCount(hraft.DecodeConfiguration(log.Data)) == 1)
		}
	}
	held := *s.held.Load()
	all := append(held[:len(held):len(held)], logs...)
	if empty && s.solo.Load() {
		s.held.Store(&all)
		return nil
	}
	if err := s.inner.StoreLogs(all); err != nil {
		return err
	}
	s.held.Store(new([]*hraft.Log))
	return nil
}

func (s *soloLog) FirstIndex() (uint64, error) {
	first, err := s.inner.FirstIndex()
	if held := *s.held.Load(); err == nil && first == 0 && len(held) > 0 {
		return held[0].Index, nil
	}
	return first, err
}

func (s *soloLog) LastIndex() (uint64, error) {
	if held := *s.held.Load(); len(held) > 0 {
		return held[len(held)-1].Index, nil
	}
	return s.inner.LastIndex()
}

func (s *soloLog) GetLog(index uint64, log *hraft.Log) error {
	for _, h := range *s.held.Load() {
		if h.Index == index {
			*log = *h
			return nil
		}
	}
	return s.inner.GetLog(index, log)
}

func (s *soloLog) DeleteRange(min, max uint64) error {
	var kept []*hraft.Log
	for _, h := range *s.held.Load() {
		if h.Index < min || h.Index > max {
			kept = append(kept, h)
		}
	}
	s.held.Store(&kept)
	return s.inner.DeleteRange(min, max)
}

func voterCount(c hraft.Configuration) int {
	count := 0
	for _, s := range c.Servers {
		if s.Suffrage == hraft.Voter {
			count++
		}
	}
	return count
}
