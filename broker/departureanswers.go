package broker

import (
	"context"
	"net"
	"slices"
	"time"

	"github.com/millrace-io/millrace/broker/peer"
)

// Watch takes the lifeline of a broker (peer.DialLifeline) and suspects it when that ends.
func (d *departures) Watch(id int32, line net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		_ = line.Close()
		return
	}
	d.lines[id] = line
	d.group.Go(func() {
		defer context.AfterFunc(d.ctx, func() { _ = line.Close() })()
		peer.AwaitLost(line)
		d.Suspect(id) // before nobody knows the line any more
		d.mu.Lock()
		if d.lines[id] == line {
			delete(d.lines, id)
		}
		d.mu.Unlock()
		_ = line.Close()
	})
}

// Confirm reports whether an answer that names these brokers may be given. Otherwise who leads is to be looked up again: one of
// them has gone since, or its departure was being decided, and has been, or was for long enough.
//
// Lifelines are looked at, and not only waited for: a client that saw the end of a broker after them may be served first.
func (d *departures) Confirm(ctx context.Context, brokers []int32) bool {
	for _, id := range brokers {
		d.mu.Lock()
		line := d.lines[id]
		d.mu.Unlock()
		if line != nil && peer.Lost(line) {
			d.Suspect(id)
		}
	}
	if d.await(ctx, brokers) {
		return false
	}
	img := d.cfg.Image()
	return !slices.ContainsFunc(brokers, func(id int32) bool {
		b := img.Broker(id)
		return b == nil || b.Fenced
	})
}

// await returns when no departure of these brokers is being decided, or after a while, and whether it had to wait.
func (d *departures) await(ctx context.Context, brokers []int32) (waited bool) {
	var patience <-chan time.Time
	for {
		d.mu.Lock()
		undecided, settled := !d.closed && slices.ContainsFunc(brokers, d.isProbing), d.settled
		d.mu.Unlock()
		if !undecided {
			return waited
		}
		waited = true
		if patience == nil {
			timer := time.NewTimer(departureHold)
			defer timer.Stop()
			patience = timer.C
		}
		select {
		case <-settled:
		case <-patience:
			return waited
		case <-ctx.Done():
			return waited
		}
	}
}

// isProbing is called under mu.
func (d *departures) isProbing(id int32) bool {
	_, under := d.probing[id]
	return under
}
