package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/txn"
)

// transactions is what a world with transactions has beside its replication: real logs and coordinators in every process, and
// producers.
type transactions struct {
	w         *World
	bubble    *bubble
	layout    layout
	ledger    *ledger
	producers sync.WaitGroup
	resting   atomic.Bool  // producers begin nothing any more
	timeouts  atomic.Int64 // of transactions

	// Settings of the brokers, different for each seed.
	settings      txn.Settings
	logConfig     *log.Config
	snapshotBytes int64
	checkpoints   time.Duration

	batches map[batchName][]record // that leaders appended
	values  int                    // of records that leaders appended
	nextID  int64                  // of producers
}

// idCount is how many transactional ids there are.
const idCount = 4

func newTransactions(w *World) *transactions {
	t := &transactions{w: w, bubble: newBubble(w), layout: newLayout(), batches: map[batchName][]record{}, nextID: 1000}
	t.ledger = newLedger(t)
	w.cfg.Partitions = t.layout.partitions()
	t.settings = txn.DefaultSettings()
	t.settings.WriteTimeoutMillis = int32(w.between(time.Second, 4*time.Second).Milliseconds())
	if w.chance(3) {
		t.settings.CompletionLingerMillis = 0
	}
	config := log.DefaultConfig()
	config.SegmentBytes = 2<<10 + w.rng.Int64N(64<<10)
	t.logConfig = config
	t.snapshotBytes, t.checkpoints = 1<<10+w.rng.Int64N(32<<10), w.between(time.Second, 8*time.Second)
	return t
}

// begin lets producers and readers begin.
func (t *transactions) begin() {
	for id := range int32(idCount) {
		t.spawn(id, 1+min(t.w.rng.Int32N(5)/2, 1), t.w.between(500*time.Millisecond, time.Second))
	}
	t.w.at(time.Second, t.ledger.read)
}

// spawn starts an instance of the producer of a transactional id.
func (t *transactions) spawn(id, version int32, after time.Duration) {
	instance := t.ledger.instance(id)
	p := &producing{
		t: t, id: id, name: fmt.Sprintf("tx-%d", id), instance: instance, version: version,
		rng: rand.New(rand.NewPCG(t.w.cfg.Seed, uint64(id)<<32|uint64(instance))), timeoutMillis: 1000 + t.w.rng.Int32N(4000),
	}
	t.producers.Add(1)
	t.w.at(after, func() {
		t.bubble.call(func() {
			go func() {
				defer t.producers.Done()
				p.run()
			}()
		})
	})
}

// gone takes note of an instance that has ended. The last one of a transactional id is followed by another, as an operator would
// have it.
func (t *transactions) gone(p *producing) {
	if t.ledger.running[p.id]--; t.ledger.running[p.id] == 0 && !t.resting.Load() {
		t.spawn(p.id, p.version, t.w.between(0, 300*time.Millisecond))
	}
}

// Close ends everything that runs in the world.
func (w *World) Close() {
	if w.txns == nil {
		return
	}
	w.txns.bubble.end()
	for _, n := range w.nodes {
		if n.up {
			n.end(killed)
		}
	}
	w.txns.bubble.settle()
}

// unsettled says what of the transactions has not come to rest. Producers stop once they have shown that the cluster serves them.
func (t *transactions) unsettled() string {
	for id := range int32(idCount) {
		if n := t.ledger.calmCommits[id]; n < 3 {
			return fmt.Sprintf("tx-%d had %d commits since the faults ended", id, n)
		}
	}
	if !t.resting.Swap(true) {
		return "producers are about to rest"
	}
	for id, n := range t.ledger.running {
		if n > 0 {
			return fmt.Sprintf("%d producers of tx-%d have not come to rest", n, id)
		}
	}
	return t.ledger.open()
}

// over says whether the world has ended.
func (t *transactions) over() bool { return t.bubble.over.Err() != nil }

func (t *transactions) context() context.Context { return t.bubble.over }
