package replica

import (
	"hash/fnv"
	"sync"

	"github.com/millrace-io/millrace/metadata/image"
)

// fetchers are all fetchers of a follower: for each leader, and for durable and write-cached topics apart, as many as
// num.replica.fetchers. A durable topic's fetcher waits for a flush before it asks again; a cached one must not.
type fetchers struct {
	manager *Manager
	group   sync.WaitGroup

	mu      sync.Mutex
	running map[fetcherKey]*fetcher // guarded by mu
	closed  bool                    // guarded by mu
	changed map[*fetcher]struct{}   // owned by the goroutine of Apply: to be told at its end
}

type fetcherKey struct {
	leader int32
	cached bool
	shard  uint32
}

func newFetchers(m *Manager) *fetchers {
	return &fetchers{manager: m, running: map[fetcherKey]*fetcher{}, changed: map[*fetcher]struct{}{}}
}

// assign lets the partition be fetched from its leader in the leader's epoch. Called by Apply.
func (fs *fetchers) assign(p *Partition, state *image.Partition) {
	if fs.manager.cfg.Leaders == nil || state.Leader < 0 {
		fs.unassign(p)
		return
	}
	f := fs.find(fs.keyOf(p, state.Leader))
	if p.fetcher != f {
		fs.unassign(p)
		p.fetcher = f
	}
	f.change(assignment{partition: p, epoch: state.LeaderEpoch})
	fs.changed[f] = struct{}{}
}

// unassign ends fetching. What is under way is refused by the partition, whose role changes next. Called by Apply.
func (fs *fetchers) unassign(p *Partition) {
	if f := p.fetcher; f != nil {
		p.fetcher = nil
		f.change(assignment{partition: p, remove: true})
		fs.changed[f] = struct{}{}
	}
}

// tell wakes the fetchers whose partitions have changed. Called at the end of Apply.
func (fs *fetchers) tell() {
	for f := range fs.changed {
		f.tell()
		delete(fs.changed, f)
	}
}

func (fs *fetchers) keyOf(p *Partition, leader int32) fetcherKey {
	h := fnv.New32a()
	_, _ = h.Write(p.Topic.ID[:])
	return fetcherKey{leader: leader, cached: p.Topic.Settings().AckFromMemory,
		shard: (h.Sum32() + uint32(p.Number)) % uint32(fs.manager.cfg.Fetchers)}
}

func (fs *fetchers) find(key fetcherKey) *fetcher {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := fs.running[key]
	if f == nil {
		f = newFetcher(fs.manager, key)
		fs.running[key] = f
		if fs.closed {
			f.cancel()
			return f
		}
		fs.group.Go(f.run)
		fs.group.Go(f.interruptLeader)
	}
	return f
}

// close ends all fetchers and joins them.
func (fs *fetchers) close() {
	fs.mu.Lock()
	fs.closed = true
	for _, f := range fs.running {
		f.cancel()
	}
	fs.mu.Unlock()
	fs.group.Wait()
}
