package metadata

import (
	"context"
	"sync"

	"github.com/millrace-io/millrace/metadata/image"
)

// publisher hands each change to the subscribers, in order, on one goroutine.
type publisher struct {
	machine     *machine
	subscribers []subscriber // fixed before run

	published *image.Image // owned by run

	mu      sync.Mutex // guards the rest
	index   uint64     // everything up to it has been handled
	changed chan struct{}
}

type subscriber struct {
	name string
	fn   func(*image.Delta)
}

func newPublisher(m *machine) *publisher {
	return &publisher{machine: m, published: image.Empty(), changed: make(chan struct{})}
}

// run publishes until stop is closed.
func (p *publisher) run(stop <-chan struct{}) {
	for {
		if delta := p.machine.take(p.published); delta != nil {
			for _, s := range p.subscribers {
				s.fn(delta)
			}
			p.published = delta.To
			p.moveTo(delta.To.Index())
		}
		select {
		case <-p.machine.wake:
		case <-stop:
			return
		}
	}
}

func (p *publisher) moveTo(index uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.index = index
	close(p.changed)
	p.changed = make(chan struct{})
}

// await returns when the subscribers have handled everything up to index.
func (p *publisher) await(ctx context.Context, index uint64, stop <-chan struct{}) error {
	for {
		p.mu.Lock()
		at, changed := p.index, p.changed
		p.mu.Unlock()
		if at >= index {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-stop:
			return errClosed
		}
	}
}

// Await returns when the subscribers of this node have handled everything up to index of the metadata log.
func (n *Node) Await(ctx context.Context, index uint64) error {
	return n.publisher.await(ctx, index, n.stop)
}
