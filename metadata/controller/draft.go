package controller

import (
	"slices"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
)

// draft gathers what becomes of partitions on top of an image. A partition that changes twice has one change in the end,
// under one new epoch.
type draft struct {
	c      *Controller
	img    *image.Image
	topics map[image.TopicID]*topicDraft
	order  []*topicDraft
}

// topicDraft is one topic of a draft, its settings resolved once.
type topicDraft struct {
	topic   *image.Topic
	changed map[int32]*image.Partition
	order   []int32

	minISR       int
	unclean      bool // may elect a leader that lacks records
	writeCaching bool // what a replica confirms need not be on its disk
}

func (c *Controller) newDraft(img *image.Image) *draft {
	return &draft{c: c, img: img, topics: map[image.TopicID]*topicDraft{}}
}

func (d *draft) topic(t *image.Topic) *topicDraft {
	td := d.topics[t.ID]
	if td == nil {
		e := d.c.settings.TopicWith(d.img, t.Config)
		td = &topicDraft{
			topic: t, changed: map[int32]*image.Partition{}, minISR: int(e.Int32("min.insync.replicas")),
			unclean: e.Bool("unclean.leader.election.enable"), writeCaching: e.Bool("write.caching"),
		}
		d.topics[t.ID] = td
		d.order = append(d.order, td)
	}
	return td
}

// partition returns the state of a partition in the draft, nil when there is none.
func (td *topicDraft) partition(i int32) *image.Partition {
	if p := td.changed[i]; p != nil {
		return p
	}
	return td.topic.Partition(i)
}

// change begins a change of one partition, with the kind of election that its topic allows.
func (td *topicDraft) change(p *image.Partition, acceptable func(int32) bool) *partitionChange {
	change := newPartitionChange(p, td.minISR, acceptable)
	if td.unclean {
		change.election = electUnclean
	}
	return change
}

// put takes over the outcome of a change and reports whether there is one.
func (td *topicDraft) put(i int32, change *partitionChange) bool {
	after, changed := change.build()
	if !changed {
		return false
	}
	before := td.topic.Partition(i)
	if after.LeaderEpoch > before.LeaderEpoch {
		after.LeaderEpoch = before.LeaderEpoch + 1
	}
	after.PartitionEpoch = before.PartitionEpoch + 1
	if td.changed[i] == nil {
		td.order = append(td.order, i)
	}
	td.changed[i] = after
	return true
}

// group returns the commands, topic by topic.
func (d *draft) group() command.Group {
	var group command.Group
	for _, td := range d.order {
		if len(td.order) == 0 {
			continue
		}
		c := command.ChangePartitions{TopicID: td.topic.ID}
		slices.Sort(td.order)
		for _, i := range td.order {
			before, after := td.topic.Partition(i), td.changed[i]
			change := command.PartitionChange{Partition: i, PartitionEpoch: before.PartitionEpoch, Leader: after.Leader, LeaderEpoch: after.LeaderEpoch}
			if onlyLeaderDiffers(before, after) {
				c.Changes = append(c.Changes, change)
				continue
			}
			change.State = after
			c.Changes = append(c.Changes, change)
		}
		group = append(group, c)
	}
	return group
}

func onlyLeaderDiffers(before, after *image.Partition) bool {
	same := *after
	same.Leader, same.LeaderEpoch = before.Leader, before.LeaderEpoch
	return samePartition(before, &same)
}

// count returns the number of partitions that change.
func (d *draft) count() int {
	n := 0
	for _, td := range d.order {
		n += len(td.order)
	}
	return n
}

// each calls fn for every partition of the image that matches.
func (d *draft) each(match func(*image.Partition) bool, fn func(td *topicDraft, i int32, p *image.Partition)) {
	for t := range d.img.AllTopics() {
		for i, p := range t.Partitions() {
			if match(p) {
				fn(d.topic(t), i, d.topic(t).partition(i))
			}
		}
	}
}

// acceptable returns who may lead: who is active, or is add; not remove. Either is -1 for nobody.
func acceptable(img *image.Image, add, remove int32) func(int32) bool {
	return func(id int32) bool { return id != remove && id >= 0 && (id == add || img.Broker(id).Active()) }
}

// writeCaches reports whether a broker may have confirmed records of the topic that were not on its disk.
func (d *draft) writeCaches(td *topicDraft, broker int32) bool {
	own := d.img.ConfigOverrides(brokerResource(broker))["write.caching.default"]
	_, set := td.topic.Config["write.caching"]
	return td.writeCaching || !set && own == "true"
}

func brokerResource(id int32) config.Resource {
	return config.Resource{Type: config.BrokerResource, Name: brokerName(id)}
}
