package raft

import (
	"io"

	hraft "github.com/hashicorp/raft"
)

// latchedSnapshots is a snapshot store behind a latch. hashicorp/raft's own store writes to a temporary directory with a
// checksum, syncs and renames; it checks the checksum when it opens.
type latchedSnapshots struct {
	latch *latch
	inner hraft.SnapshotStore
}

func (s *latchedSnapshots) Create(version hraft.SnapshotVersion, index, term uint64, configuration hraft.Configuration,
	configurationIndex uint64, trans hraft.Transport,
) (sink hraft.SnapshotSink, err error) {
	err = s.latch.guard("create metadata snapshot", func() error {
		sink, err = s.inner.Create(version, index, term, configuration, configurationIndex, trans)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &latchedSink{SnapshotSink: sink, latch: s.latch}, nil
}

func (s *latchedSnapshots) List() (found []*hraft.SnapshotMeta, err error) {
	err = s.latch.guard("list metadata snapshots", func() error { found, err = s.inner.List(); return err })
	return found, err
}

// Open does not latch: a snapshot that is damaged leaves the older one, which raft tries next.
func (s *latchedSnapshots) Open(id string) (*hraft.SnapshotMeta, io.ReadCloser, error) {
	if err := s.latch.Err(); err != nil {
		return nil, nil, err
	}
	return s.inner.Open(id)
}

type latchedSink struct {
	hraft.SnapshotSink
	latch *latch
}

func (s *latchedSink) Write(p []byte) (n int, err error) {
	err = s.latch.guard("write metadata snapshot", func() error { n, err = s.SnapshotSink.Write(p); return err })
	return n, err
}

func (s *latchedSink) Close() error {
	return s.latch.guard("finish metadata snapshot", s.SnapshotSink.Close)
}
