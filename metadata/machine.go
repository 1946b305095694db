package metadata

import (
	"io"
	"sync"
	"sync/atomic"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/image"
)

// machine is the state machine of the metadata log: it keeps the newest image and what changed since the publisher
// looked last.
type machine struct {
	newest atomic.Pointer[image.Image] // written with mu held
	wake   chan struct{}               // a token when there is something to publish

	mu       sync.Mutex // guards the rest
	pending  *image.Changes
	replaced bool // a snapshot came: what changed is not known
}

func newMachine() *machine {
	m := &machine{wake: make(chan struct{}, 1), pending: image.NewChanges()}
	m.newest.Store(image.Empty())
	return m
}

// Apply applies an entry; the answer is the refusals of its groups.
func (m *machine) Apply(index uint64, entry []byte) (any, error) {
	groups, err := command.Decode(entry)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	next, refusals := command.Apply(m.newest.Load(), index, groups, m.pending)
	m.newest.Store(next)
	m.mu.Unlock()
	m.signal()
	return refusals, nil
}

// Snapshot captures the image.
func (m *machine) Snapshot() func() []byte { return m.newest.Load().Snapshot }

// Restore replaces the image.
func (m *machine) Restore(r io.Reader) (uint64, error) {
	restored, err := image.ReadSnapshot(r)
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	m.newest.Store(restored)
	m.pending, m.replaced = image.NewChanges(), true
	m.mu.Unlock()
	m.signal()
	return restored.Index(), nil
}

func (m *machine) signal() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// take returns the difference between the image published last and the newest, nil when there is none.
func (m *machine) take(published *image.Image) *image.Delta {
	m.mu.Lock()
	to, changes, replaced := m.newest.Load(), m.pending, m.replaced
	m.pending, m.replaced = image.NewChanges(), false
	m.mu.Unlock()
	if to == published {
		return nil
	}
	if replaced {
		return image.Difference(published, to)
	}
	return changes.Delta(published, to)
}
