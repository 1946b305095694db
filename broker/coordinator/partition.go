package coordinator

import (
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// phase of a partition: loading -> active -> closed, or loading -> closed.
type phase int8

const (
	loading phase = iota
	active
	closed
)

// partition is one shard with its queue. Its loop is a goroutine that exists only while there is work.
type partition struct {
	runtime *Runtime
	id      int32

	mu         sync.Mutex // guards what follows; never held while the shard steps or the log is called
	epoch      int32      // leader epoch that writes must find; fixed once phase is not loading any more
	phase      phase
	running    bool // a loop goroutine exists (or the load)
	queue      []queued
	waiting    map[Ticket]chan answer
	lastTicket Ticket
	committed  int64 // everything below is committed
	failure    error // of the log: nothing that is parked will be committed
	timer      *time.Timer
	timerAt    time.Time // zero: the timer is not set

	// Owned by the loop.
	shard   Shard
	parked  []parked // in the order of their offsets
	written int64    // end of the last batch written

	refused       int // writes since the last line about them
	refusedLogged time.Time
}

type queued struct {
	event  any
	ticket Ticket
}

type answer struct {
	response any
	err      error
}

func newPartition(r *Runtime, id, leaderEpoch int32) *partition {
	return &partition{runtime: r, id: id, epoch: leaderEpoch, running: true, waiting: make(map[Ticket]chan answer)}
}

// keeps reports whether the shard goes on in the given epoch. One that is loaded does not: between two epochs another
// broker may have led the partition, and written to it. Only the very next epoch of one that still loads is surely of
// the same reign, since each change of the leader raises it.
func (p *partition) keeps(leaderEpoch int32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.phase == loading && leaderEpoch == p.epoch+1 {
		p.epoch = leaderEpoch
	}
	return leaderEpoch <= p.epoch
}

func (p *partition) isLoaded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.phase == active
}

// submit queues an event that somebody waits for.
func (p *partition) submit(event any) (<-chan answer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.phase == loading:
		return nil, kerr.CoordinatorLoadInProgress
	case p.phase == closed:
		return nil, kerr.NotCoordinator
	case len(p.queue) >= maxQueuedEvents:
		return nil, kerr.CoordinatorNotAvailable
	}
	p.lastTicket++
	answers := make(chan answer, 1) // the loop never waits for who asked
	p.waiting[p.lastTicket] = answers
	p.queue = append(p.queue, queued{event, p.lastTicket})
	p.wakeLocked()
	return answers, nil
}

// tell queues an event that nobody waits for. It is not refused for a full queue: the broker itself says it, seldom.
func (p *partition) tell(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.phase != closed {
		p.queue = append(p.queue, queued{event: event})
		p.wakeLocked()
	}
}

func (p *partition) wakeLocked() {
	if p.running || p.phase != active {
		return // the loop looks again before it ends; the load starts it
	}
	p.running = true
	p.runtime.work.Add(1)
	go p.run()
}

// ring is the timer's: whatever it was set for, it is set no longer. By the wall clock the time may not have come, which then has
// gone back since.
func (p *partition) ring() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timerAt = time.Time{}
	p.wakeLocked()
}

// onCommitted is called by the log, from any goroutine.
func (p *partition) onCommitted(offset int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.failure = err
	} else {
		p.committed = max(p.committed, offset)
	}
	p.wakeLocked()
}

// unload answers everybody and ends the loop. It does not wait for it.
func (p *partition) unload() {
	p.mu.Lock()
	if p.phase == closed {
		p.mu.Unlock()
		return
	}
	waiting := p.waiting
	p.phase, p.waiting, p.queue = closed, nil, nil
	if p.timer != nil {
		p.timer.Stop()
	}
	shard := p.shard
	if p.running {
		shard = nil // the loop, or the load, closes it when it ends
	}
	p.mu.Unlock()
	for _, answers := range waiting {
		answers <- answer{err: kerr.NotCoordinator}
	}
	if shard != nil {
		shard.Closed()
	}
}

// deliver answers a ticket. Who is gone is not missed.
func (p *partition) deliver(ticket Ticket, response any, err error) {
	if ticket == 0 {
		return
	}
	p.mu.Lock()
	answers := p.waiting[ticket]
	delete(p.waiting, ticket)
	p.mu.Unlock()
	if answers != nil {
		answers <- answer{response, err}
	}
}
