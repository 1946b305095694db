package replica

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/millrace-io/millrace/metadata/image"
)

// Replication throttles bound what replicas that are not in sync copy: those in sync are never held back, or they would
// fall out. Kafka: ReplicationQuotaManager, ReplicaFetcherThread.shouldFollowerThrottle, KIP-73.

// throttle is a rate that some copying shares: what was copied too much is paid for by waiting.
type throttle struct {
	mu     sync.Mutex
	rate   int64     // guarded by mu: bytes a second
	paidAt time.Time // guarded by mu: when all that was taken is paid for
}

// setRate sets another rate. What was taken at the old one is forgiven: it may have been hours.
func (t *throttle) setRate(bytesPerSecond int64) {
	t.mu.Lock()
	if t.rate != bytesPerSecond {
		t.rate, t.paidAt = bytesPerSecond, time.Time{}
	}
	t.mu.Unlock()
}

// take counts bytes and returns how long to wait before more.
func (t *throttle) take(bytes int, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rate == math.MaxInt64 {
		return 0
	}
	if t.paidAt.Before(now) {
		t.paidAt = now
	}
	t.paidAt = t.paidAt.Add(time.Duration(float64(bytes) / float64(max(t.rate, 1)) * float64(time.Second)))
	return t.paidAt.Sub(now)
}

// throttles are those of a broker.
type throttles struct {
	leader   throttle // leader.replication.throttled.rate
	follower throttle // follower.replication.throttled.rate
	moves    throttle // millrace.balance.throttle.bytes.per.second
}

// configureThrottles follows the broker's settings.
func (m *Manager) configureThrottles(img *image.Image) {
	broker := m.cfg.Settings.Broker(img)
	m.throttles.leader.setRate(broker.Int64("leader.replication.throttled.rate"))
	m.throttles.follower.setRate(broker.Int64("follower.replication.throttled.rate"))
	m.throttles.moves.setRate(broker.Int64("millrace.balance.throttle.bytes.per.second"))
}

// throttledReplicas are the replicas of a topic that a throttle is for: partition:broker pairs, or all of them.
type throttledReplicas struct {
	all   bool
	pairs []string // sorted
}

func parseThrottled(list string) throttledReplicas {
	var t throttledReplicas
	for pair := range strings.SplitSeq(list, ",") {
		switch pair = strings.TrimSpace(pair); pair {
		case "":
		case "*":
			t.all = true
		default:
			t.pairs = append(t.pairs, pair)
		}
	}
	slices.Sort(t.pairs)
	return t
}

func (t throttledReplicas) has(partition, broker int32) bool {
	if t.all || len(t.pairs) == 0 {
		return t.all
	}
	_, found := slices.BinarySearch(t.pairs, strconv.Itoa(int(partition))+":"+strconv.Itoa(int(broker)))
	return found
}

// copied counts what this broker has copied as a follower, and returns how long the partition has to rest for it.
func (p *Partition) copied(bytes int, now time.Time) time.Duration {
	s, m := p.leadership.Load(), p.manager
	switch {
	case s == nil || slices.Contains(s.ISR, m.cfg.NodeID):
		return 0
	case s.Throttled(m.cfg.NodeID):
		return m.throttles.moves.take(bytes, now)
	case p.Topic.Settings().throttledFollowers.has(p.Number, m.cfg.NodeID):
		return m.throttles.follower.take(bytes, now)
	}
	return 0
}

// mayRead returns how long a follower that is not in sync has to wait before it reads from this leader.
func (p *Partition) mayRead(follower int32, now time.Time) time.Duration {
	s := p.leadership.Load()
	if s == nil || slices.Contains(s.ISR, follower) || !p.Topic.Settings().throttledLeaders.has(p.Number, p.manager.cfg.NodeID) {
		return 0
	}
	return p.manager.throttles.leader.take(0, now)
}

// wasRead counts what such a follower has read.
func (p *Partition) wasRead(follower int32, bytes int, now time.Time) {
	if s := p.leadership.Load(); s != nil && !slices.Contains(s.ISR, follower) && p.Topic.Settings().throttledLeaders.has(p.Number, p.manager.cfg.NodeID) {
		p.manager.throttles.leader.take(bytes, now)
	}
}
