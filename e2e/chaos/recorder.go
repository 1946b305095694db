package chaos

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/millrace-io/millrace/e2e/chaos/checker"
)

// Recorder writes down what clients ask for before they ask, and what they were told. Safe for concurrent use.
type Recorder struct {
	start time.Time

	mu        sync.Mutex
	ops       []checker.Op             // guarded by mu, in the order of invocation
	clients   map[int32]checker.Client // guarded by mu
	processes int32                    // guarded by mu: how many there were
	acked     map[checker.Key]int      // guarded by mu: acknowledged records
	commits   int                      // guarded by mu: acknowledged transactions
}

// NewRecorder returns an empty history that begins now.
func NewRecorder() *Recorder {
	return &Recorder{start: time.Now(), clients: map[int32]checker.Client{}, acked: map[checker.Key]int{}}
}

// Process returns the number of a new client.
func (r *Recorder) Process(c checker.Client) int32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.processes++
	r.clients[r.processes] = c
	return r.processes
}

// Invoke notes what is about to be asked for, of unknown outcome, and returns its place for Return.
func (r *Recorder) Invoke(op checker.Op) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	op.Invoked, op.Outcome = r.now(), checker.Info
	r.ops = append(r.ops, op)
	return len(r.ops) - 1
}

// Return notes what became of an operation; change puts what was learnt into it.
func (r *Recorder) Return(at int, outcome checker.Outcome, err error, change func(*checker.Op)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	op := &r.ops[at]
	op.Returned, op.Outcome = r.now(), outcome
	if err != nil {
		op.Error = err.Error()
	}
	if change != nil {
		change(op)
	}
	if op.Kind == checker.Produce && outcome == checker.OK {
		for _, s := range op.Steps {
			r.acked[s.Key]++
		}
		if op.Transaction {
			r.commits++
		}
	}
}

// Change puts into an operation that has not returned what was learnt of it.
func (r *Recorder) Change(at int, change func(op *checker.Op, now time.Duration)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.ops[at], r.now())
}

// now never is 0, which means never.
func (r *Recorder) now() time.Duration { return time.Since(r.start) + 1 }

// Now is the time on the history's clock.
func (r *Recorder) Now() time.Duration { return r.now() }

// Acked returns how many records of a partition were acknowledged so far.
func (r *Recorder) Acked(key checker.Key) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.acked[key]
}

// Commits returns how many transactions were acknowledged so far.
func (r *Recorder) Commits() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.commits
}

// History is what was written so far. Later operations do not change it.
func (r *Recorder) History() *checker.History {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := &checker.History{Ops: slices.Clone(r.ops), Clients: map[int32]checker.Client{}, LogStart: map[checker.Key]int64{}, To: r.now()}
	for i := range h.Ops {
		h.Ops[i].Steps = slices.Clone(h.Ops[i].Steps)
	}
	for process, c := range r.clients {
		h.Clients[process] = c
	}
	return h
}

// Dump writes the history as text, for whoever looks for the cause of an anomaly.
func (r *Recorder) Dump(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write the history: %w", err)
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.ops {
		op := &r.ops[i]
		fmt.Fprintf(w, "%d kind %d %v", i, op.Kind, op)
		for _, s := range op.Steps {
			fmt.Fprintf(w, " [key %d %v @%d epoch %d]", s.Key, s.Value, s.Offset, s.Epoch)
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}
