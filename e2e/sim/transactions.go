package sim

import (
	"context"
	"fmt"
	"math"
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

	rng         *rand.Rand     // of what follows, which is decided at the start
	firstEpochs [idCount]int16 // that transactional ids have already; -1: none
	rests       bool           // producers rest for so long that their ids expire
	forgetting  time.Duration  // producer.id.expiration.ms; 0: Kafka's default
}

const (
	// idCount is how many transactional ids there are.
	idCount = 4
	// firstID is the first producer id that is given; transactional ids that are there from the start have lower ones.
	firstID = 1000
	// lastClientEpoch is the last one that a producer is given.
	lastClientEpoch = math.MaxInt16 - 1
)

func newTransactions(w *World) *transactions {
	t := &transactions{w: w, bubble: newBubble(w), layout: newLayout(), batches: map[batchName][]record{}, nextID: firstID}
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
	t.rng = rand.New(rand.NewPCG(w.cfg.Seed, 0x657870697265))
	for id := range t.firstEpochs {
		t.firstEpochs[id] = [...]int16{-1, lastClientEpoch - int16(t.rng.IntN(4)), lastClientEpoch - int16(t.rng.IntN(60))}[t.rng.IntN(3)]
	}
	if t.rests = t.rng.IntN(2) == 0; t.rests {
		t.settings.IDExpirationMillis, t.settings.IDExpirationCheckMillis = 2500+t.rng.Int64N(2500), 200+t.rng.Int64N(800)
	}
	if t.rng.IntN(2) == 0 {
		t.forgetting = time.Duration(5000+t.rng.IntN(3000)) * time.Millisecond
	}
	t.snapshotBytes, t.checkpoints = 1<<10+w.rng.Int64N(32<<10), w.between(time.Second, 8*time.Second)
	return t
}

// begin lets producers and readers begin.
func (t *transactions) begin() {
	for id := range int32(idCount) {
		t.spawn(id, 1+min(t.w.rng.Int32N(5)/2, 1), t.w.between(500*time.Millisecond, time.Second))
	}
	t.w.at(time.Second, t.ledger.read)
	t.changeTopics()
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

// set are the settings of the coordinators. Nothing expires any more once producers rest: what is there is looked at.
func (t *transactions) set() txn.Settings {
	s := t.settings
	if t.resting.Load() {
		s.IDExpirationMillis = txn.DefaultSettings().IDExpirationMillis
	}
	return s
}

// over says whether the world has ended.
func (t *transactions) over() bool { return t.bubble.over.Err() != nil }

func (t *transactions) context() context.Context { return t.bubble.over }
