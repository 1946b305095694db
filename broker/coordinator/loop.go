package coordinator

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// run is the loop: it takes what is queued, steps the shard, writes one batch, and ends when there is nothing to do.
func (p *partition) run() {
	defer p.runtime.work.Done()
	for {
		events, committed, failure, ok := p.take()
		if !ok {
			return
		}
		b := newBatch(p)
		p.release(b, committed, failure)
		now := p.runtime.cfg.Clock()
		p.expireParked(b, now)
		if at, ok := p.shard.NextDeadline(); ok && !at.After(now) {
			b.step(Tick{}, 0)
		}
		for _, e := range events {
			if end, ok := e.event.(endTransaction); ok {
				b.end(end.marker, e.ticket)
			} else {
				b.step(e.event, e.ticket)
			}
		}
		b.flush()
		p.shard.Settled()
	}
}

// take returns what is to be done, or ends the loop: the decision and the mark that no loop runs are one step.
func (p *partition) take() (events []queued, committed int64, failure error, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.phase == closed {
		p.running = false
		p.shard.Closed()
		return nil, 0, nil, false
	}
	events, p.queue = p.queue, nil
	committed, failure = p.committed, p.failure
	p.failure = nil
	if len(events) > 0 || failure != nil || len(p.parked) > 0 && p.parked[0].offset <= committed {
		return events, committed, failure, true
	}
	at, set := p.nextDeadline()
	if set && !at.After(p.runtime.cfg.Clock()) {
		return nil, committed, nil, true
	}
	p.setTimerLocked(at, set)
	p.running = false
	return nil, 0, nil, false
}

// nextDeadline is the shard's, or that of the oldest parked answer.
func (p *partition) nextDeadline() (at time.Time, ok bool) {
	at, ok = p.shard.NextDeadline()
	if len(p.parked) > 0 && (!ok || p.parked[0].deadline.Before(at)) {
		return p.parked[0].deadline, true
	}
	return at, ok
}

// setTimerLocked makes sure that a timer fires by at. One that fires too early is harmless, so that heartbeats, which
// only move deadlines away, do not touch it.
func (p *partition) setTimerLocked(at time.Time, set bool) {
	now := p.runtime.cfg.Clock()
	if !set || !p.timerAt.IsZero() && p.timerAt.After(now) && !p.timerAt.After(at) {
		return
	}
	p.timerAt = at
	if p.timer == nil {
		p.timer = time.AfterFunc(at.Sub(now), p.ring)
	} else {
		p.timer.Reset(at.Sub(now))
	}
}

// parked is what waits for the high watermark to reach offset.
type parked struct {
	offset   int64
	deadline time.Time
	replies  []Reply
	then     any
}

// release answers what is committed, or everything when the log says that nothing more will be.
func (p *partition) release(b *batch, committed int64, failure error) {
	n := 0
	for n < len(p.parked) && (failure != nil || p.parked[n].offset <= committed) {
		n++
	}
	ready := p.parked[:n]
	p.parked = p.parked[n:]
	if len(p.parked) == 0 {
		p.parked = nil // lets go of the array
	}
	for _, w := range ready {
		var err error
		if w.offset > committed {
			err = Refusal(failure)
		}
		b.settle(w, err)
	}
}

// expireParked gives up on commits that take too long. The records stay: they are in the log and may yet be committed.
func (p *partition) expireParked(b *batch, now time.Time) {
	for len(p.parked) > 0 && !p.parked[0].deadline.After(now) {
		w := p.parked[0]
		p.parked = p.parked[1:]
		b.settle(w, Refusal(kerr.RequestTimedOut))
	}
}
