package replica

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"syscall"
	"time"
)

// confirmPatience is how long an answer may wait for other brokers to say that they follow this one, and how long one of them
// is waited for.
const confirmPatience = time.Second

// Claim is that a broker leads a partition in an epoch.
type Claim struct {
	Partition   *Partition
	LeaderEpoch int32
}

func (c Claim) key() claimKey {
	return claimKey{partitionKey{c.Partition.Topic.ID, c.Partition.Number}, c.LeaderEpoch}
}

type claimKey struct {
	partitionKey
	leaderEpoch int32
}

// Confirm asks everybody who could have been elected meanwhile whether they follow this broker, after it was called, and
// reports for each claim that nobody else has led the partition before; see Partition.Standing. It waits a second at most.
func (m *Manager) Confirm(ctx context.Context, claims ...Claim) (confirmed []bool) {
	ctx, cancel := context.WithTimeout(ctx, confirmPatience)
	defer cancel()
	confirmed = make([]bool, len(claims))
	asked := map[int32][]int{} // by broker: which claims
	for i, claim := range claims {
		var others []int32
		others, confirmed[i] = claim.Partition.electable(claim.LeaderEpoch)
		for _, id := range others {
			asked[id] = append(asked[id], i)
		}
	}
	inquiries := make(map[int32]*inquiry, len(asked))
	for id, places := range asked {
		inquiries[id] = m.confirmer.join(id, claims, places)
	}
	for id, places := range asked {
		follows := inquiries[id].await(ctx)
		for _, i := range places {
			confirmed[i] = confirmed[i] && follows[claims[i].key()]
		}
	}
	return confirmed
}

// confirmer asks other brokers whether they follow this one. To each there is one request under way at most, and what is
// asked meanwhile goes with the next: an answer counts for who asked before its request was sent.
type confirmer struct {
	manager *Manager
	ctx     context.Context // ended by close
	cancel  context.CancelFunc
	running sync.WaitGroup // a goroutine for each broker that is being asked

	mu     sync.Mutex
	next   map[int32]*inquiry // guarded by mu, as are claims in it: by broker that is being asked; nil: nothing more is to be asked
	closed bool               // guarded by mu
}

// inquiry is one request.
type inquiry struct {
	claims map[claimKey]bool // whether the broker follows; fixed once done is closed
	done   chan struct{}
}

func newConfirmer(m *Manager) *confirmer {
	c := &confirmer{manager: m, next: map[int32]*inquiry{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// close ends requests under way and waits for their goroutines.
func (c *confirmer) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.running.Wait()
}

// join has a broker asked for some of the claims by a request that is not sent yet.
func (c *confirmer) join(id int32, claims []Claim, places []int) *inquiry {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	q, busy := c.next[id]
	if q == nil {
		q = &inquiry{claims: map[claimKey]bool{}, done: make(chan struct{})}
		c.next[id] = q
	}
	for _, i := range places {
		q.claims[claims[i].key()] = false
	}
	if !busy {
		c.running.Go(func() { c.run(id) })
	}
	return q
}

// await returns whom the broker follows; nothing when that is not known in time.
func (q *inquiry) await(ctx context.Context) map[claimKey]bool {
	if q == nil {
		return nil
	}
	select {
	case <-q.done:
		return q.claims
	case <-ctx.Done():
		return nil
	}
}

// run asks a broker until there is nothing more to ask.
func (c *confirmer) run(id int32) {
	for q := c.begin(id); q != nil; q = c.begin(id) {
		c.ask(id, q)
		close(q.done)
	}
}

// begin takes what has come together for a broker; nobody joins it any more.
func (c *confirmer) begin(id int32) *inquiry {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.next[id]
	if c.next[id] = nil; q == nil {
		delete(c.next, id)
	}
	return q
}

// ask notes what a broker confirms. An address that refuses a connection now is one where nobody leads.
func (c *confirmer) ask(id int32, q *inquiry) {
	ctx, cancel := context.WithTimeout(c.ctx, confirmPatience)
	defer cancel()
	if c.manager.cfg.Leaders == nil {
		return
	}
	keys := slices.SortedFunc(maps.Keys(q.claims), func(a, b claimKey) int { return compareKeys(a.partitionKey, b.partitionKey) })
	request, order := followsRequest(c.manager.cfg.NodeID, keys)
	answer, err := c.manager.cfg.Leaders.Do(ctx, id, request)
	if err != nil {
		for _, key := range keys {
			q.claims[key] = errors.Is(err, syscall.ECONNREFUSED)
		}
		return
	}
	confirmations(answer, order, q.claims)
}
