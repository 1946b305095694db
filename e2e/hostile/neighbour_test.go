//go:build e2e

package hostile

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// neighbour is a well-behaved client of a broker.
type neighbour struct {
	address string
	done    chan struct{} // closed by its owner to end run

	mu      sync.Mutex
	slowest time.Duration // guarded by mu: from produce to consume
	echoes  int           // guarded by mu
	fault   error         // guarded by mu: the first
}

// run sends one record after the other and waits for each to be consumed.
func (n *neighbour) run() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { <-n.done; cancel() }()
	cl, err := kgo.NewClient(kgo.SeedBrokers(n.address), kgo.DefaultProduceTopic("neighbour"), kgo.ConsumeTopics("neighbour"),
		kgo.AllowAutoTopicCreation(), kgo.ProducerLinger(0), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.ClientID("neighbour"))
	if err != nil {
		n.failed(err)
		return
	}
	defer cl.Close()
	for k := 0; ctx.Err() == nil; k++ {
		began := time.Now()
		if n.echo(ctx, cl, strconv.Itoa(k)) {
			n.echoed(time.Since(began))
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// echo sends a record and reads until it is back.
func (n *neighbour) echo(ctx context.Context, cl *kgo.Client, value string) (back bool) {
	if err := cl.ProduceSync(ctx, kgo.StringRecord(value)).FirstErr(); err != nil {
		n.failed(err)
		return false
	}
	for !back && ctx.Err() == nil {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			n.failed(err)
			return false
		}
		fetches.EachRecord(func(r *kgo.Record) { back = back || string(r.Value) == value })
	}
	return back
}

func (n *neighbour) echoed(after time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.slowest, n.echoes = max(n.slowest, after), n.echoes+1
}

func (n *neighbour) failed(err error) {
	select {
	case <-n.done:
		return
	default:
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fault == nil {
		n.fault = err
	}
}

func (n *neighbour) verdict() (echoes int, slowest time.Duration, fault error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.echoes, n.slowest, n.fault
}
