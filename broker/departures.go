package broker

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/millrace-io/millrace/metadata/image"
)

// A process that ends closes its connections before, or after, its listener; in between a dial is not refused yet.
var departureProbes = [...]time.Duration{0, 5 * time.Millisecond, 15 * time.Millisecond, 40 * time.Millisecond, 100 * time.Millisecond}

const (
	// After a departure was told, so long is waited for the image to say so.
	departurePatience = 2500 * time.Millisecond
	departureLook     = 2 * time.Millisecond // between looks at the image
	// A client that would be told of a broker whose departure is being decided waits at most so long: where that was the
	// controller, another is elected first. To be told of the dead one costs some clients five seconds; where a majority is gone
	// nothing is decided, and who looks for the reason waits for as long as this.
	departureHold = 2 * time.Second
)

// departuresConfig is what departures need of the rest of the node.
type departuresConfig struct {
	NodeID       int32
	IsController func() bool
	Image        func() *image.Image
	// Refused asks whether no process is at an address any more.
	Refused func(ctx context.Context, address string) bool
	// Gone tells the controller that a broker's process has ended.
	Gone   func(id int32, incarnation [16]byte)
	Logger *slog.Logger
}

// departures tells the controller at once of brokers whose process has ended, so that nobody waits for the end of a session
// that nobody holds: when a connection from a broker ends, its lifeline first of all, or this node becomes the controller, the
// broker's address is asked whether it refuses. One that does not answer at all may be alive behind a broken network; it
// keeps its session.
//
// Every node asks, whoever is the controller: a client whose connection to a leader has ended asks another broker who leads
// now, and is not told of the dead one while that is being decided (Confirm). Some clients would not ask again for five
// seconds.
type departures struct {
	cfg    departuresConfig
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	probing map[int32]bool     // guarded by mu: value: it was suspected again meanwhile
	settled chan struct{}      // guarded by mu: closed when a probe ends
	lines   map[int32]net.Conn // guarded by mu: the newest lifeline of each broker
	closed  bool               // guarded by mu
	group   sync.WaitGroup
}

func newDepartures(cfg departuresConfig) *departures {
	d := &departures{cfg: cfg, probing: map[int32]bool{}, settled: make(chan struct{}), lines: map[int32]net.Conn{}}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

// Suspect asks whether a broker is still there; it does not block.
func (d *departures) Suspect(id int32) {
	if id == d.cfg.NodeID {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	if _, under := d.probing[id]; under {
		d.probing[id] = true
		return
	}
	d.probing[id] = false
	d.group.Go(func() {
		for again := true; again; {
			d.probe(id)
			again = d.finished(id)
		}
	})
}

// finished reports whether the broker was suspected again while it was probed.
func (d *departures) finished(id int32) (again bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	again = d.probing[id] && !d.closed
	if again {
		d.probing[id] = false
	} else {
		delete(d.probing, id)
		close(d.settled)
		d.settled = make(chan struct{})
	}
	return again
}

// SuspectAll asks of every broker, as a new controller does: the last controller is often the one that is gone.
func (d *departures) SuspectAll() {
	for b := range d.cfg.Image().Brokers() {
		d.Suspect(b.ID)
	}
}

func (d *departures) probe(id int32) {
	for _, pause := range departureProbes {
		if !sleepContext(d.ctx, pause) {
			return
		}
		b := d.cfg.Image().Broker(id)
		if b == nil || b.Fenced {
			return
		}
		address, ok := internalAddress(b)
		if !ok {
			return
		}
		if d.cfg.Refused(d.ctx, address) {
			d.decide(b, address)
			return
		}
	}
}

// decide has the controller told that a broker is gone, and returns when the image says so, or has not for long: then nobody
// leads the quorum. This node may become the controller meanwhile.
func (d *departures) decide(gone *image.Broker, address string) {
	told := false
	for end := time.Now().Add(departurePatience); time.Now().Before(end); {
		b := d.cfg.Image().Broker(gone.ID)
		if b == nil || b.Fenced || b.Incarnation != gone.Incarnation {
			return
		}
		if !told && d.cfg.IsController() {
			told = true
			d.cfg.Logger.Warn("the process of a broker has ended", "broker", gone.ID, "address", address)
			d.cfg.Gone(gone.ID, gone.Incarnation)
		}
		if !sleepContext(d.ctx, departureLook) {
			return
		}
	}
}

// Close ends the probes under way.
func (d *departures) Close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.cancel()
	d.group.Wait()
}

// sleepContext is false when ctx ended first.
func sleepContext(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
