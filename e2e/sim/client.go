package sim

import (
	"slices"
	"time"
)

// client produces unique values and reads them back; it believes what the image of some node says, which may be old.
type client struct {
	w        *World
	id       int
	reads    []int64 // by partition: the next offset to read
	calmAcks []int   // by partition: acknowledgements since the faults ended
}

func newClient(w *World, id int) *client {
	c := &client{w: w, id: id, reads: make([]int64, w.cfg.Partitions), calmAcks: make([]int, w.cfg.Partitions)}
	w.at(w.between(500*time.Millisecond, time.Second), c.produce)
	w.at(w.between(500*time.Millisecond, time.Second), c.read)
	return c
}

// leaderOf asks the image of any node who leads.
func (c *client) leaderOf(partition int) *node {
	p := partitionOf(c.w.nodes[c.w.rng.IntN(len(c.w.nodes))].image(), c.w.meta.topic, partition)
	if p == nil {
		return nil
	}
	return c.w.node(p.Leader)
}

func (c *client) produce() {
	c.w.at(c.w.between(time.Millisecond, 20*time.Millisecond), c.produce)
	partition := c.w.rng.IntN(c.w.cfg.Partitions)
	leader := c.leaderOf(partition)
	if leader == nil {
		return
	}
	c.w.Stats.Sent++
	value := c.w.Stats.Sent
	c.w.call(nil, leader, 800*time.Millisecond, func(answer func(any)) {
		if l := leader.roles[partition].leading; l != nil && leader.serves() {
			l.produce(value, answer)
			return
		}
		answer(errNotLeader)
	}, func(answer any, ok bool) {
		offset, acked := answer.(int64)
		if !ok || !acked {
			return
		}
		c.w.Stats.Acked++
		if c.w.calm {
			c.calmAcks[partition]++
		}
		c.w.oracle.acknowledged(partition, offset, value)
	})
}

// read asks a leader for what is committed.
func (c *client) read() {
	c.w.at(c.w.between(5*time.Millisecond, 60*time.Millisecond), c.read)
	partition := c.w.rng.IntN(c.w.cfg.Partitions)
	leader := c.leaderOf(partition)
	if leader == nil {
		return
	}
	from := c.reads[partition]
	// The promises are held where the leader answers: two answers of one leader may overtake each other.
	c.w.call(nil, leader, 500*time.Millisecond, func(answer func(any)) {
		l := leader.roles[partition].leading
		if l == nil || !leader.serves() || !l.core.Known() && !c.w.is(ShowsUnknownWatermark) {
			return
		}
		watermark := min(l.core.HighWatermark(), l.log.end())
		if c.w.is(ShowsUncommitted) {
			watermark = l.log.end()
		}
		end := min(watermark, from+maxFetch)
		values := slices.Clone(l.log.records[min(from, end):end])
		c.w.oracle.showed(partition, l.core.Epoch(), watermark, values, from)
		answer(len(values))
	}, func(answer any, ok bool) {
		if ok {
			count := answer.(int)
			c.w.Stats.Read += count
			c.reads[partition] = max(c.reads[partition], from+int64(count))
		}
	})
}
