package image

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"github.com/millrace-io/millrace/metadata/config"
)

// Changes collects what edits did, so that a delta over many of them costs what changed and not the size of the image.
type Changes struct {
	topics   map[TopicID]*topicChange
	configs  map[config.Resource]struct{}
	brokers  map[int32]struct{}
	features bool
}

type topicChange struct {
	before     *Topic
	after      *Topic
	partitions map[int32]struct{}
}

// NewChanges returns no changes.
func NewChanges() *Changes { return &Changes{topics: map[TopicID]*topicChange{}} }

func (c *Changes) topic(id TopicID, before, after *Topic) *topicChange {
	change := c.topics[id]
	if change == nil {
		change = &topicChange{before: before}
		c.topics[id] = change
	}
	change.after = after
	return change
}

func (c *Changes) partition(id TopicID, partition int32) {
	change := c.topics[id]
	if change.partitions == nil {
		change.partitions = map[int32]struct{}{}
	}
	change.partitions[partition] = struct{}{}
}

// allPartitions notes a topic that came or went. Its partitions need no list until the delta is made.
func (c *Changes) allPartitions(before, after *Topic) {
	t := cmp.Or(after, before)
	c.topic(t.ID, before, after)
	if len(t.Config) > 0 {
		c.config(config.Resource{Type: config.TopicResource, Tenant: t.Tenant, Name: t.Name})
	}
}

func (c *Changes) config(r config.Resource) {
	r.Tenant = r.TenantOrDefault()
	if c.configs == nil {
		c.configs = map[config.Resource]struct{}{}
	}
	c.configs[r] = struct{}{}
}

func (c *Changes) broker(id int32) {
	if c.brokers == nil {
		c.brokers = map[int32]struct{}{}
	}
	c.brokers[id] = struct{}{}
}

// Add puts later changes behind those collected so far.
func (c *Changes) Add(later *Changes) {
	for id, change := range later.topics {
		own := c.topic(id, change.before, change.after)
		for i := range change.partitions {
			c.partition(id, i)
		}
		if own.before == nil && own.after == nil {
			delete(c.topics, id) // came and went between the two images
		}
	}
	for r := range later.configs {
		c.config(r)
	}
	for id := range later.brokers {
		c.broker(id)
	}
	c.features = c.features || later.features
}

// Delta says what is different between two images when these changes lie between them.
func (c *Changes) Delta(from, to *Image) *Delta {
	d := &Delta{From: from, To: to, Features: c.features}
	for _, change := range c.topics {
		if change.before != change.after {
			d.Topics = append(d.Topics, TopicChange{Before: change.before, After: change.after, Partitions: change.list()})
		}
	}
	slices.SortFunc(d.Topics, func(a, b TopicChange) int {
		x, y := cmp.Or(a.After, a.Before), cmp.Or(b.After, b.Before)
		return cmp.Or(cmp.Compare(x.Tenant, y.Tenant), cmp.Compare(x.Name, y.Name), deletedFirst(a, b), bytes.Compare(x.ID[:], y.ID[:]))
	})
	d.Configs = slices.SortedFunc(maps.Keys(c.configs), func(a, b config.Resource) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Name, b.Name))
	})
	d.Brokers = slices.Sorted(maps.Keys(c.brokers))
	return d
}

// deletedFirst orders a topic that went before one that came under its name.
func deletedFirst(a, b TopicChange) int {
	rank := func(c TopicChange) int {
		if c.After == nil {
			return 0
		}
		return 1
	}
	return rank(a) - rank(b)
}

func (c *topicChange) list() []int32 {
	if c.before != nil && c.after != nil {
		return slices.Sorted(maps.Keys(c.partitions))
	}
	all := make([]int32, cmp.Or(c.after, c.before).PartitionCount())
	for i := range all {
		all[i] = int32(i)
	}
	return all
}

// Difference compares two images that are not neighbours in the log, as after a snapshot came from the leader. It costs
// the size of both images.
func Difference(from, to *Image) *Delta {
	c := NewChanges()
	for t := range from.AllTopics() {
		if to.TopicByID(t.ID) == nil {
			c.allPartitions(t, nil)
		}
	}
	for t := range to.AllTopics() {
		c.compareTopic(from.TopicByID(t.ID), t)
	}
	for r := range from.ConfiguredResources() {
		if !maps.Equal(from.ConfigOverrides(r), to.ConfigOverrides(r)) {
			c.config(r)
		}
	}
	for r := range to.ConfiguredResources() {
		if from.ConfigOverrides(r) == nil {
			c.config(r)
		}
	}
	for b := range from.Brokers() {
		if !equalBrokers(b, to.Broker(b.ID)) {
			c.broker(b.ID)
		}
	}
	for b := range to.Brokers() {
		if from.Broker(b.ID) == nil {
			c.broker(b.ID)
		}
	}
	c.features = !maps.Equal(from.features, to.features)
	return c.Delta(from, to)
}

func (c *Changes) compareTopic(before, after *Topic) {
	if before == nil {
		c.allPartitions(nil, after)
		return
	}
	for i, p := range after.Partitions() {
		if old := before.Partition(i); old == nil || !equalPartitions(old, p) {
			c.topic(after.ID, before, after)
			c.partition(after.ID, i)
		}
	}
	if !maps.Equal(before.Config, after.Config) {
		c.topic(after.ID, before, after)
		c.config(config.Resource{Type: config.TopicResource, Tenant: after.Tenant, Name: after.Name})
	}
}

func equalPartitions(a, b *Partition) bool {
	return a == b || bytes.Equal(encoded(func(e *Encoder) { e.Partition(a) }), encoded(func(e *Encoder) { e.Partition(b) }))
}

func equalBrokers(a, b *Broker) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a == b || bytes.Equal(encoded(func(e *Encoder) { e.Broker(a) }), encoded(func(e *Encoder) { e.Broker(b) }))
}

func encoded(write func(*Encoder)) []byte {
	var e Encoder
	write(&e)
	return e.Bytes
}
