package sim

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/log"
	wire "github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/txn"
	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/image"
)

const (
	passingTopic = "passing" // is deleted, and made again
	widerTopic   = "wider"   // once it is in the image, the topic of data has its last partition
	generations  = 2         // of the topic that passes, each with a partition of its own
)

// marking topics stand in the image for what exists: the replication of all partitions is that of one topic, whatever exists of it.
func markingTopic(name string, generation int) *image.Topic {
	alone := []int32{1}
	return image.NewTopic(passingID(name, generation), "default", name, false, nil, []*image.Partition{{Replicas: alone, ISR: alone, Leader: -1}})
}

func passingID(name string, generation int) image.TopicID {
	return image.TopicID{9, byte(generation), name[0]}
}

// placeIn is where a partition lies by an image, if it exists there.
func (l layout) placeIn(img *image.Image, topic string, number int32) (place int, ok bool) {
	switch {
	case topic == passingTopic:
		t := img.Topic("default", passingTopic)
		if t == nil || number != 0 {
			return 0, false
		}
		return l.passing.first + int(t.ID[1]), true
	case topic == topicName && number == l.data.count-1 && img.Topic("default", widerTopic) == nil:
		return 0, false
	}
	return l.place(topic, number)
}

// target is a partition that a producer writes to.
type target struct {
	topic  string
	number int32
	place  int
}

// targets are those that exist by an image, the topic that passes last.
func (l layout) targets(img *image.Image) (all []target) {
	for number := range l.data.count {
		if place, ok := l.placeIn(img, topicName, number); ok {
			all = append(all, target{topicName, number, place})
		}
	}
	if place, ok := l.placeIn(img, passingTopic, 0); ok {
		all = append(all, target{passingTopic, 0, place})
	}
	return all
}

// readable are the places of data, whether they exist or not.
func (l layout) readable() (all []int) {
	for _, s := range []span{l.data, l.passing} {
		for number := range int(s.count) {
			all = append(all, s.first+number)
		}
	}
	return all
}

// isGone says that what lies at a place was deleted, or was never made.
func (t *transactions) isGone(place int) bool {
	if _, passes := t.layout.passing.number(place); !passes {
		return false
	}
	now, exists := t.layout.placeIn(t.w.meta.newest(), passingTopic, 0)
	return !exists || now != place
}

// changeTopics makes a topic while transactions go on, deletes it, makes it again, and for some seeds deletes it for good; and gives
// another one its last partition.
func (t *transactions) changeTopics() {
	millis := func(low, high int) time.Duration { return time.Duration(low+t.rng.IntN(high-low)) * time.Millisecond }
	t.change(millis(0, 6000), command.CreateTopic{Topic: markingTopic(widerTopic, 0)}, func() {})
	again, end := millis(0, 800), t.rng.IntN(3) == 0
	lives := millis(1500, 4000)
	t.change(millis(500, 2500), command.CreateTopic{Topic: markingTopic(passingTopic, 0)}, func() {
		t.change(lives, command.DeleteTopic{TopicID: passingID(passingTopic, 0)}, func() {
			t.w.Stats.Deleted++
			t.change(again, command.CreateTopic{Topic: markingTopic(passingTopic, 1)}, func() {
				if end {
					t.change(lives, command.DeleteTopic{TopicID: passingID(passingTopic, 1)}, func() { t.w.Stats.Deleted++ })
				}
			})
		})
	})
}

// change has the controller write a command, however often it takes, and then goes on.
func (t *transactions) change(after time.Duration, c command.Command, then func()) {
	w := t.w
	done := func(img *image.Image) bool {
		if create, is := c.(command.CreateTopic); is {
			return img.TopicByID(create.Topic.ID) != nil
		}
		return img.TopicByID(c.(command.DeleteTopic).TopicID) == nil
	}
	var attempt func()
	attempt = func() {
		img := w.meta.newest()
		if img.TopicByID(w.meta.topic) != nil && done(img) {
			then()
			return
		}
		if leader := w.node(w.meta.leader); leader != nil && img.TopicByID(w.meta.topic) != nil {
			w.meta.propose(leader, &plan{make: func(now *image.Image) (command.Group, func(int)) {
				if done(now) {
					return nil, func(int) {}
				}
				return command.Group{c}, func(int) {}
			}, fail: func() {}})
		}
		w.at(50*time.Millisecond, attempt)
	}
	w.at(after, attempt)
}

// preface is what a log of the coordinators begins with: transactional ids that have nearly used up their epochs.
func (n *node) preface(number int32, s *services) {
	t := n.w.txns
	l := n.roles[t.layout.states.first+int(number)].leading
	if l == nil || l.log.end() > 0 {
		return
	}
	b := wire.NewBuilder(wire.BuilderOptions{})
	count := 0
	for id := range int32(idCount) {
		name := fmt.Sprintf("tx-%d", id)
		if t.firstEpochs[id] < 0 || txn.PartitionFor("default", name, t.layout.states.count) != number {
			continue
		}
		now := s.wall().UnixMilli()
		k, v := kmsg.NewTxnMetadataKey(), kmsg.NewTxnMetadataValue()
		k.TransactionalID = name
		v.ProducerID, v.ProducerEpoch, v.TimeoutMillis, v.State = int64(id)+1, t.firstEpochs[id], 1000, kmsg.TransactionStateEmpty
		v.LastUpdateTimestamp, v.StartTimestamp = now, -1
		b.Append(now, k.AppendTo(nil), v.AppendTo(nil), nil)
		count++
	}
	if count == 0 {
		return
	}
	batch, err := b.Build()
	if err == nil {
		err = l.write(&log.Entry{Batch: batch}, log.OriginCoordinator)
	}
	if err != nil {
		n.w.note("node %d cannot write the preface of %s-%d: %v", n.id, statesTopic, number, err)
	}
}
