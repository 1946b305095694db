package verify

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Config is what a Verifier is made of.
type Config struct {
	NodeID int32
	// Coordinator finds the node that coordinates a transactional id.
	Coordinator func(transactionalID string) (nodeID int32, ok bool)
	// Send carries a request to a node: for this node's own id it is answered here.
	Send func(ctx context.Context, nodeID int32, request *kmsg.AddPartitionsToTxnRequest) (*kmsg.AddPartitionsToTxnResponse, error)
	// Patience is how long a question is asked again while the producer's last transaction is being completed, and Pause
	// the longest pause between two attempts. Read for each question.
	Patience, Pause func() time.Duration
	Timeout         time.Duration // of one request
	// Enabled is transaction.partition.verification.enable: whether partitions are verified that are not added. Read for
	// each transaction.
	Enabled func() bool
	// Sleep waits between two attempts of a question; false: its context ended. nil: a timer.
	Sleep  func(context.Context, time.Duration) bool
	Logger *slog.Logger
}

// TopicPartition is one partition of a question.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// Question is about one producer's transaction.
type Question struct {
	TransactionalID string // as brokers name it to each other: coordinator.QualifiedName
	ProducerID      int64
	ProducerEpoch   int16
	Add             bool // partitions that are not in the transaction are added
	Partitions      []TopicPartition
}

const (
	// maxTransactions bounds one request.
	maxTransactions = 512
	// minPause is before the second attempt of a question: a completion takes a few milliseconds.
	minPause = time.Millisecond
)

// Verifier asks coordinators. Its methods may be called from any goroutine.
type Verifier struct {
	cfg  Config
	ctx  context.Context // ends with Close
	stop context.CancelFunc
	work sync.WaitGroup // the goroutine of every node

	mu     sync.Mutex // guards the rest
	nodes  map[int32]*node
	closed bool
}

// node is what waits for one coordinator. Guarded by the verifier's mu.
type node struct {
	waiting []*waiter
	running bool
}

// waiter is a question and who waits for its answer.
type waiter struct {
	question *Question
	answer   chan []int16 // capacity 1
}

// New makes a verifier. Close ends it.
func New(cfg Config) *Verifier {
	if cfg.Sleep == nil {
		cfg.Sleep = sleep
	}
	v := &Verifier{cfg: cfg, nodes: map[int32]*node{}}
	v.ctx, v.stop = context.WithCancel(context.Background())
	return v
}

// Close ends what is under way; who waits is told NETWORK_EXCEPTION.
func (v *Verifier) Close() {
	v.mu.Lock()
	v.closed = true
	v.mu.Unlock()
	v.stop()
	v.work.Wait()
}

// Ask returns a code for each partition of the question: 0 lets the records in. A transaction that is being completed is
// waited for where the question adds partitions: the producer may not be told of it before its patience is over.
func (v *Verifier) Ask(ctx context.Context, q *Question) []int16 {
	var deadline time.Time
	for pause := minPause; ; pause = min(2*pause, v.cfg.Pause()) {
		codes := v.ask(ctx, q)
		if !q.Add || !has(codes, kerr.ConcurrentTransactions.Code) {
			return codes
		}
		now := time.Now()
		if deadline.IsZero() {
			deadline = now.Add(v.cfg.Patience())
		}
		if !now.Before(deadline) || !v.cfg.Sleep(ctx, min(pause, deadline.Sub(now))) {
			return codes
		}
	}
}

func has(codes []int16, code int16) bool {
	for _, c := range codes {
		if c == code {
			return true
		}
	}
	return false
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (v *Verifier) ask(ctx context.Context, q *Question) []int16 {
	nodeID, ok := v.cfg.Coordinator(q.TransactionalID)
	if !ok {
		return q.all(kerr.CoordinatorNotAvailable)
	}
	w := &waiter{question: q, answer: make(chan []int16, 1)}
	if nodeID == v.cfg.NodeID {
		v.sendHere(ctx, w)
	} else if !v.join(nodeID, w) {
		return q.all(kerr.NetworkException)
	}
	select {
	case codes := <-w.answer:
		return codes
	case <-ctx.Done():
		return q.all(kerr.NetworkException)
	}
}

// Enabled says whether producers that add partitions themselves are verified.
func (v *Verifier) Enabled() bool { return v.cfg.Enabled() }

// sendHere asks this node itself: there is nothing to gain from gathering.
func (v *Verifier) sendHere(ctx context.Context, w *waiter) {
	ctx, cancel := context.WithTimeout(ctx, v.cfg.Timeout)
	defer cancel()
	v.send(ctx, v.cfg.NodeID, []*waiter{w})
}

// join puts a question into the queue of a node.
func (v *Verifier) join(nodeID int32, w *waiter) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return false
	}
	n := v.nodes[nodeID]
	if n == nil {
		n = &node{}
		v.nodes[nodeID] = n
	}
	n.waiting = append(n.waiting, w)
	if !n.running {
		n.running = true
		v.work.Go(func() { v.serve(nodeID, n) })
	}
	return true
}

// serve sends what waits for a node until nothing does.
func (v *Verifier) serve(nodeID int32, n *node) {
	for {
		batch := v.take(n)
		if len(batch) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(v.ctx, v.cfg.Timeout)
		v.send(ctx, nodeID, batch)
		cancel()
	}
}

// take returns the next batch: at most one question of each transactional id. A question of an earlier epoch than
// another's is answered at once: its producer is fenced.
func (v *Verifier) take(n *node) (batch []*waiter) {
	v.mu.Lock()
	defer v.mu.Unlock()
	latest := make(map[string]int16, len(n.waiting))
	for _, w := range n.waiting {
		if epoch, ok := latest[w.question.TransactionalID]; !ok || w.question.ProducerEpoch > epoch {
			latest[w.question.TransactionalID] = w.question.ProducerEpoch
		}
	}
	taken := make(map[string]bool, len(latest))
	left := n.waiting[:0:0]
	for _, w := range n.waiting {
		q := w.question
		switch {
		case q.ProducerEpoch < latest[q.TransactionalID]:
			w.answer <- q.all(kerr.InvalidProducerEpoch)
		case taken[q.TransactionalID] || len(batch) == maxTransactions:
			left = append(left, w)
		default:
			taken[q.TransactionalID] = true
			batch = append(batch, w)
		}
	}
	n.waiting = left
	n.running = len(batch) > 0
	return batch
}
