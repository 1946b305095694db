package broker

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/millrace-io/millrace/metadata/image"
)

// lifelineRenewal is the longest pause between two looks for brokers to which there is no lifeline.
const lifelineRenewal = 500 * time.Millisecond

// lifelines hold one to every other broker that serves (peer.DialLifeline), so that all know at once when this process ends.
type lifelines struct {
	nodeID int32
	image  func() *image.Image
	dial   func(ctx context.Context, nodeID int32, address string) (io.ReadCloser, error)
	logger *slog.Logger
	poked  chan struct{} // of capacity 1

	mu   sync.Mutex
	held map[int32]bool // guarded by mu: a goroutine dials it or holds it
}

// Poke looks for such brokers now: the image has changed.
func (l *lifelines) Poke() {
	select {
	case l.poked <- struct{}{}:
	default:
	}
}

// run holds them until ctx ends.
func (l *lifelines) run(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	ticker := time.NewTicker(lifelineRenewal)
	defer ticker.Stop()
	for {
		for b := range l.image().Brokers() {
			address, ok := internalAddress(b)
			if ok && b.ID != l.nodeID && !b.Fenced && l.take(b.ID) {
				group.Go(func() { l.hold(ctx, b.ID, address) })
			}
		}
		select {
		case <-l.poked:
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// take reports whether the broker has none yet.
func (l *lifelines) take(id int32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = map[int32]bool{}
	}
	taken := l.held[id]
	l.held[id] = true
	return !taken
}

// hold dials a broker and returns when it, or ctx, has ended the lifeline.
func (l *lifelines) hold(ctx context.Context, id int32, address string) {
	defer func() {
		l.mu.Lock()
		delete(l.held, id)
		l.mu.Unlock()
	}()
	line, err := l.dial(ctx, id, address)
	if err != nil {
		l.logger.Debug("no lifeline to a broker", "broker", id, "reason", err.Error())
		return
	}
	defer context.AfterFunc(ctx, func() { _ = line.Close() })()
	_, _ = line.Read(make([]byte, 1)) // nobody says anything
	_ = line.Close()
}
