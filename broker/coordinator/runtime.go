package coordinator

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

const (
	// maxQueuedEvents bounds what waits for a shard; more is refused with COORDINATOR_NOT_AVAILABLE.
	maxQueuedEvents = 16384
	// maxConcurrentLoads bounds how many partitions are read at a time after an election.
	maxConcurrentLoads = 4
	// loadReadBytes is how much of the log is read at a time.
	loadReadBytes = 1 << 20
)

// Config is what a runtime is made of.
type Config struct {
	Name     string // of the internal topic, for log messages
	Log      Log
	NewShard func(partition int32) Shard
	// MaxBatchBytes is the largest batch the log takes; WriteTimeout bounds the wait for a commit. Read for each write.
	MaxBatchBytes func() int
	WriteTimeout  func() time.Duration
	Clock         func() time.Time
	Logger        *slog.Logger
}

// Runtime holds the shards of the partitions that this broker leads.
type Runtime struct {
	cfg    Config
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	loads  chan struct{}  // tokens: how many partitions may load at a time
	work   sync.WaitGroup // every loop and load

	mu         sync.Mutex // guards what follows
	partitions map[int32]*partition
	closed     bool
}

// New returns a runtime without shards.
func New(cfg Config) *Runtime {
	ctx, cancel := context.WithCancel(context.Background())
	return &Runtime{
		cfg: cfg, ctx: ctx, cancel: cancel,
		loads:      make(chan struct{}, maxConcurrentLoads),
		partitions: make(map[int32]*partition),
	}
}

// OnElection says that this broker leads the partition since leaderEpoch. It returns at once; until the shard is loaded
// requests are refused with COORDINATOR_LOAD_IN_PROGRESS. A shard of an earlier epoch is dropped, and whoever waits on it
// answered NOT_COORDINATOR. Elections of one partition come in order, from one goroutine.
func (r *Runtime) OnElection(id, leaderEpoch int32) {
	if dropped := r.elect(id, leaderEpoch); dropped != nil {
		dropped.unload()
	}
}

func (r *Runtime) elect(id, leaderEpoch int32) (dropped *partition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.partitions[id]
	if r.closed || before != nil && before.keeps(leaderEpoch) {
		return nil
	}
	p := newPartition(r, id, leaderEpoch)
	r.partitions[id] = p
	r.work.Add(1)
	go p.load()
	return before
}

// OnResignation says that this broker no longer leads the partition: whoever waits is answered NOT_COORDINATOR.
func (r *Runtime) OnResignation(id int32) {
	r.mu.Lock()
	p := r.partitions[id]
	delete(r.partitions, id)
	r.mu.Unlock()
	if p != nil {
		p.unload()
	}
}

// Close drops every shard and returns when nothing runs any more.
func (r *Runtime) Close() {
	r.mu.Lock()
	r.closed = true
	dropped := r.partitions
	r.partitions = make(map[int32]*partition)
	r.mu.Unlock()
	r.cancel()
	for _, p := range dropped {
		p.unload()
	}
	r.work.Wait()
}

// Submit steps the partition's shard with an event and waits for the answer. Its error is a kerr value, or ctx's.
func (r *Runtime) Submit(ctx context.Context, id int32, event any) (any, error) {
	r.mu.Lock()
	p := r.partitions[id]
	r.mu.Unlock()
	if p == nil {
		return nil, kerr.NotCoordinator
	}
	answers, err := p.submit(event)
	if err != nil {
		return nil, err
	}
	select {
	case a := <-answers:
		return a.response, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Tell steps every loaded shard with an event that nobody waits for.
func (r *Runtime) Tell(event any) {
	for _, p := range r.all() {
		p.tell(event)
	}
}

// Notify steps the partition's shard with an event that nobody waits for. It is dropped where the partition is not led.
func (r *Runtime) Notify(id int32, event any) {
	r.mu.Lock()
	p := r.partitions[id]
	r.mu.Unlock()
	if p != nil {
		p.tell(event)
	}
}

// Partitions returns the partitions that are led here, and how many of them are loaded.
func (r *Runtime) Partitions() (ids []int32, loaded int) {
	for _, p := range r.all() {
		ids = append(ids, p.id)
		if p.isLoaded() {
			loaded++
		}
	}
	return ids, loaded
}

func (r *Runtime) all() []*partition {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*partition, 0, len(r.partitions))
	for _, p := range r.partitions {
		all = append(all, p)
	}
	return all
}
