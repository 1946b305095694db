package raft

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"

	hraft "github.com/hashicorp/raft"
)

// fsm stands between hashicorp/raft and the state machine: it counts, and nothing else.
type fsm struct {
	machine StateMachine
	latch   *latch
	limit   int           // snapshotBytes
	onApply func()        // optional; fixed before the first Apply
	large   chan struct{} // a token when the entries since the last snapshot have grown large

	bytes int // of the entries since the last snapshot; owned by raft's goroutine of the state machine

	mu      sync.Mutex    // guards the rest
	applied uint64        // index of the last entry applied or restored
	changed chan struct{} // closed when applied changes
}

func newFSM(machine StateMachine, latch *latch, snapshotBytes int) *fsm {
	return &fsm{machine: machine, latch: latch, limit: snapshotBytes, large: make(chan struct{}, 1), changed: make(chan struct{})}
}

func (f *fsm) position() (applied uint64, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.applied, f.changed
}

func (f *fsm) moveTo(index uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applied = index
	close(f.changed)
	f.changed = make(chan struct{})
}

// Apply applies one committed entry.
func (f *fsm) Apply(log *hraft.Log) any {
	if f.latch.Err() != nil {
		return nil // whoever waits is told by the latch
	}
	answer, err := f.machine.Apply(log.Index, log.Data)
	if err != nil {
		f.latch.fail(fmt.Errorf("apply metadata log entry %d: %w", log.Index, err))
		return nil
	}
	f.moveTo(log.Index)
	if f.onApply != nil {
		f.onApply()
	}
	if f.bytes += len(log.Data); f.bytes >= f.limit {
		f.bytes = 0
		select {
		case f.large <- struct{}{}:
		default:
		}
	}
	return answer
}

// Snapshot captures the state of this moment.
func (f *fsm) Snapshot() (hraft.FSMSnapshot, error) {
	if err := f.latch.Err(); err != nil {
		return nil, err
	}
	f.bytes = 0
	return snapshot{f.machine.Snapshot()}, nil
}

// Restore replaces the state by a snapshot.
func (f *fsm) Restore(r io.ReadCloser) error {
	index, err := f.machine.Restore(r)
	if err != nil {
		return err
	}
	f.bytes = 0
	f.moveTo(index)
	return nil
}

type snapshot struct{ encode func() []byte }

func (s snapshot) Persist(sink hraft.SnapshotSink) error {
	if _, err := sink.Write(s.encode()); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

func (s snapshot) Release() {}

// isNoSpace looks at the text, too, because hashicorp/raft's cache of the log drops the chain of errors.
func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || strings.Contains(err.Error(), syscall.ENOSPC.Error())
}
