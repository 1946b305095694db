package group

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// Offsets that transactions commit are pending until the marker of the transaction's end. They are in the log like other
// offsets, and change in the replay of it only. Kafka: OffsetMetadataManager.replay and replayEndTransactionMarker.

// ReplayPending implements coordinator.TransactionalShard: an offset that counts once its transaction is committed.
func (s *shard) ReplayPending(by coordinator.Producer, record coordinator.Record) error {
	key, err := parseKey(record.Key)
	if err != nil || !key.known {
		return err
	}
	if !key.isOffset || record.Value == nil {
		return fmt.Errorf("a transaction of producer %d wrote something other than an offset", by.ID)
	}
	o, err := parseOffset(record.Value)
	if err != nil {
		return err
	}
	o.order = s.nextOrder()
	g := s.obtain(key.group)
	at := topicPartition{key.topic, key.partition}
	before, had := g.pending[by.ID][at]
	s.setPending(g, by.ID, at, &o)
	s.keep(func() {
		g := s.obtain(key.group)
		if had {
			s.setPending(g, by.ID, at, &before)
		} else {
			s.setPending(g, by.ID, at, nil)
		}
		s.release(g)
	})
	return nil
}

// ReplayEnd implements coordinator.TransactionalShard. An offset that was committed outside of the transaction since then
// is the later one, and stays.
func (s *shard) ReplayEnd(by coordinator.Producer, committed bool) {
	for _, key := range s.sortedGroups(by.ID) {
		g := s.groups[key]
		pending := g.pending[by.ID]
		for _, at := range sortedPartitions(pending) {
			o := pending[at]
			if existing, had := g.offsets[at.topic][at.partition]; committed && (!had || existing.order < o.order) {
				s.materialise(key, at, &o)
			}
			s.setPending(g, by.ID, at, nil)
			s.keep(func() { s.setPending(s.obtain(key), by.ID, at, &o) })
		}
		s.release(g)
	}
}

// materialise makes an offset the committed one, at its own place in the log.
func (s *shard) materialise(key groupKey, at topicPartition, o *committedOffset) {
	g := s.obtain(key)
	before, had := g.offsets[at.topic][at.partition]
	s.setOffset(g, at.topic, at.partition, o)
	s.keep(func() {
		g := s.obtain(key)
		if had {
			s.setOffset(g, at.topic, at.partition, &before)
		} else {
			s.setOffset(g, at.topic, at.partition, nil)
		}
	})
}

// forgetPending drops what transactions have pending for a partition: its offset was deleted after that.
func (s *shard) forgetPending(g *group, at topicPartition) {
	key := g.key
	for _, id := range slices.Sorted(maps.Keys(g.pending)) {
		if o, had := g.pending[id][at]; had {
			s.setPending(g, id, at, nil)
			s.keep(func() { s.setPending(s.obtain(key), id, at, &o) })
		}
	}
}

// setPending changes one pending offset; nil removes it. It keeps the books of who has something pending where.
func (s *shard) setPending(g *group, producerID int64, at topicPartition, o *committedOffset) {
	if o == nil {
		delete(g.pending[producerID], at)
		if len(g.pending[producerID]) == 0 {
			delete(g.pending, producerID)
			delete(s.open[producerID], g.key)
			if len(s.open[producerID]) == 0 {
				delete(s.open, producerID)
			}
		}
		return
	}
	if g.pending[producerID] == nil {
		if g.pending == nil {
			g.pending = make(map[int64]map[topicPartition]committedOffset)
		}
		g.pending[producerID] = make(map[topicPartition]committedOffset)
		if s.open[producerID] == nil {
			s.open[producerID] = make(map[groupKey]bool)
		}
		s.open[producerID][g.key] = true
	}
	g.pending[producerID][at] = *o
}

// hasPending reports whether the end of a transaction may change a partition's offset.
func (g *group) hasPending(topic string, partition int32) bool {
	for _, pending := range g.pending {
		if _, ok := pending[topicPartition{topic, partition}]; ok {
			return true
		}
	}
	return false
}

// pendingAlone are the partitions, in order, that have pending offsets and no committed one.
func (g *group) pendingAlone() []topicPartition {
	alone := make(map[topicPartition]bool)
	for _, pending := range g.pending {
		for at := range pending {
			if _, ok := g.offsets[at.topic][at.partition]; !ok {
				alone[at] = true
			}
		}
	}
	return sortedPartitions(alone)
}

// nextOrder numbers offsets in the order of the log, live as at load.
func (s *shard) nextOrder() int64 {
	s.order++
	s.keep(func() { s.order-- })
	return s.order
}

// sortedGroups are those in which a producer has something pending.
func (s *shard) sortedGroups(producerID int64) []groupKey {
	return slices.SortedFunc(maps.Keys(s.open[producerID]), func(a, b groupKey) int {
		return cmp.Or(strings.Compare(a.tenant, b.tenant), strings.Compare(a.id, b.id))
	})
}

func sortedPartitions[V any](of map[topicPartition]V) []topicPartition {
	return slices.SortedFunc(maps.Keys(of), func(a, b topicPartition) int {
		return cmp.Or(strings.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	})
}
