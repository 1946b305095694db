package broker

import (
	"context"
	"sync"
	"time"

	"github.com/millrace-io/millrace/metadata/image"
)

const (
	// After so long an address is asked again, when somebody wants to know.
	absenceRenewal = 500 * time.Millisecond
	// What was found holds for so long.
	absenceValidity = 2 * time.Second
)

// absences know which brokers have no process any more, which is asked of their addresses when somebody wants to know, and not
// before: a leader without a controller does, of replicas that do not fetch (see replica.Partition.Doubtful).
type absences struct {
	image   func() *image.Image
	refused func(ctx context.Context, address string) bool
	clock   func() time.Time
	ctx     context.Context
	cancel  context.CancelFunc

	mu     sync.Mutex
	found  map[int32]*absence // guarded by mu: by the ids of registered brokers
	closed bool               // guarded by mu
	group  sync.WaitGroup
}

type absence struct {
	gone    bool
	at      time.Time // when it was found
	probing bool
}

func newAbsences(img func() *image.Image, refused func(context.Context, string) bool, clock func() time.Time) *absences {
	a := &absences{image: img, refused: refused, clock: clock, found: map[int32]*absence{}}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	return a
}

// Gone reports that nobody listened at a broker's address a moment ago. It does not wait: who asks for the first time is told
// no, and a little later the truth.
func (a *absences) Gone(id int32) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.image().Broker(id)
	if b == nil || a.closed {
		return false
	}
	known := a.found[id]
	if known == nil {
		known = &absence{}
		a.found[id] = known
	}
	age := a.clock().Sub(known.at)
	if !known.probing && age > absenceRenewal {
		known.probing = true
		a.group.Go(func() { a.probe(b) })
	}
	return known.gone && age < absenceValidity
}

func (a *absences) probe(b *image.Broker) {
	address, ok := internalAddress(b)
	gone := ok && a.refused(a.ctx, address)
	a.mu.Lock()
	a.found[b.ID] = &absence{gone: gone, at: a.clock()}
	a.mu.Unlock()
}

// Close ends the probes under way.
func (a *absences) Close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.cancel()
	a.group.Wait()
}
