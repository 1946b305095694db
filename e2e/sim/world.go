package sim

import (
	"container/heap"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"
)

// Config says what is simulated. The zero value of a field is its default.
type Config struct {
	Seed       uint64
	Nodes      int           // default 3, and 5 for one seed in four
	Partitions int           // default 3
	Faults     time.Duration // how long faults last; default 12 s of the cluster's time
	Mutant     Mutant
	// Transactions says that transactional producers, real logs and real coordinators are part of it. Such a world is made, run and
	// closed in one bubble of testing/synctest.
	Transactions bool
	Trace        bool // keep what happened, for people
}

// World is one simulated cluster.
type World struct {
	cfg   Config
	rng   *rand.Rand
	now   time.Duration
	queue queue
	seq   uint64

	nodes   []*node // by id - 1
	network network
	meta    *metadata
	oracle  *oracle
	clients []*client
	calm    bool          // faults are over
	txns    *transactions // nil: replication alone

	// Settings of the brokers, different for each seed.
	maxLag, session time.Duration

	violation error
	steps     int
	digest    uint64 // of everything that happened: equal for equal seeds
	trace     []string
	Stats     Stats
}

// Stats says how much happened, so that a run that proves nothing is seen.
type Stats struct {
	Steps, Sent, Acked, Read, Committed  int
	Elections, Controllers               int
	Kills, PowerLosses, Wipes, Pauses    int
	Cuts, CleanStops, Truncations, Moves int

	// With transactions: how they ended, those with offsets in them, those that the broker aborted for taking too long, instances
	// that were replaced while they ran, and requests that a proxy held back or sent twice.
	Transactions, Commits, Aborts, Unknown, Refusals, Offsets, Timeouts, Zombies, Meddled int

	// Producers that got another id, their epochs being used up or their transactional id expired, and topics that were deleted.
	Exhausted, Expired, Deleted int
}

// event is something that happens at a time, in the world or on a node.
type event struct {
	at   time.Duration
	seq  uint64
	node *node // nil: in the world
	life int   // of the node: an event of an earlier life does not happen
	fn   func()
}

type queue []*event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(*event)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return e
}

// New builds the cluster that a seed means; nothing has happened yet.
func New(cfg Config) *World {
	w := &World{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0x6d696c6c72616365)), digest: 14695981039346656037}
	if w.cfg.Nodes == 0 {
		if w.cfg.Nodes = 3; w.rng.IntN(4) == 0 {
			w.cfg.Nodes = 5
		}
	}
	if w.cfg.Partitions == 0 {
		w.cfg.Partitions = 3
	}
	if w.cfg.Faults == 0 {
		w.cfg.Faults = 12 * time.Second
	}
	w.maxLag, w.session = w.between(100*time.Millisecond, 900*time.Millisecond), w.between(600*time.Millisecond, 2*time.Second)
	if w.cfg.Transactions {
		w.txns = newTransactions(w)
	}
	w.network = newNetwork(w.cfg.Nodes, w.rng)
	w.oracle = newOracle(w)
	w.meta = newMetadata(w)
	for id := 1; id <= w.cfg.Nodes; id++ {
		w.nodes = append(w.nodes, newNode(w, int32(id)))
	}
	for _, n := range w.nodes {
		n.start()
	}
	if w.txns != nil {
		w.txns.begin()
	} else {
		for i := range 3 {
			w.clients = append(w.clients, newClient(w, i))
		}
	}
	w.scheduleFaults()
	return w
}

// at lets something happen in the world.
func (w *World) at(delay time.Duration, fn func()) { w.push(&event{at: w.now + delay, fn: fn}) }

// on lets something happen on a node, in its present life.
func (w *World) on(n *node, delay time.Duration, fn func()) {
	w.push(&event{at: w.now + delay, node: n, life: n.life, fn: fn})
}

func (w *World) push(e *event) {
	w.seq++
	e.seq = w.seq
	heap.Push(&w.queue, e)
}

// step lets the next event happen.
func (w *World) step() {
	if w.txns != nil && !w.txns.bubble.reach(w.queue[0].at) {
		return
	}
	e := heap.Pop(&w.queue).(*event)
	w.now = e.at
	if e.node != nil {
		switch {
		case e.life != e.node.life || !e.node.up:
			return
		case e.node.paused:
			e.node.waiting = append(e.node.waiting, e)
			return
		}
	}
	w.steps++
	e.fn()
	if w.txns != nil {
		w.txns.bubble.settle()
	}
}

// Run runs both phases and returns the first broken promise.
func (w *World) Run() error {
	for w.violation == nil && w.now < w.cfg.Faults {
		w.step()
	}
	w.mend()
	deadline := w.now + calmWithin
	for w.violation == nil && !w.converged() {
		if w.now > deadline {
			w.violate("liveness: not converged %v after the last fault: %s", calmWithin, w.unsettled())
			break
		}
		for until := w.now + 100*time.Millisecond; w.violation == nil && w.now < until; {
			w.step()
		}
	}
	w.finish()
	return w.violation
}

// calmWithin bounds how long the cluster may take to converge once everything is mended.
const calmWithin = 30 * time.Second

func (w *World) finish() {
	w.Stats.Steps = w.steps
	if w.txns != nil {
		w.Stats.Timeouts = int(w.txns.timeouts.Load())
	}
	if w.violation == nil {
		w.oracle.final()
	}
	if w.violation == nil && w.txns != nil {
		w.txns.final()
	}
}

// violate notes the first broken promise and ends the run.
func (w *World) violate(format string, args ...any) {
	if w.violation == nil {
		w.violation = fmt.Errorf("seed %d at %v: "+format, append([]any{w.cfg.Seed, w.now}, args...)...)
		w.note("VIOLATION: %v", w.violation)
	}
}

// note puts a line into the trace, and into the digest in any case.
func (w *World) note(format string, args ...any) {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %d %s", w.digest, w.now, format)
	for _, a := range args {
		fmt.Fprint(h, a)
	}
	w.digest = h.Sum64()
	if w.cfg.Trace {
		w.trace = append(w.trace, fmt.Sprintf("%12v ", w.now)+fmt.Sprintf(format, args...))
	}
}

// Trace returns what happened, the last lines if there are many.
func (w *World) Trace(lines int) string {
	return strings.Join(w.trace[max(0, len(w.trace)-lines):], "\n")
}

// between returns a random duration.
func (w *World) between(low, high time.Duration) time.Duration {
	return low + time.Duration(w.rng.Int64N(int64(high-low)+1))
}

// chance is true once in n.
func (w *World) chance(n int) bool { return w.rng.IntN(n) == 0 }
