package group

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/group/assignor"
)

// modelConsumer is a client of the consumer protocol that does as the protocol says.
type modelConsumer struct {
	id       string
	instance *string
	topics   []string
	regex    *string
	epoch    int32
	has      assignor.Partitions // what it consumes
	full     bool                // its next heartbeat says everything
	away     bool                // it left, or crashed
}

// TestConsumersConverge lets consumers come, go, crash, lose answers and subscribe to something else, topics change, writes
// fail and coordinators move. At no time do two of them consume one partition; what the shard has is what the log says; and
// once nothing changes any more, every partition of a topic that somebody subscribes to is consumed by a subscriber.
func TestConsumersConverge(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(rt, t)
		for range rapid.IntRange(1, 120).Draw(rt, "steps") {
			m.step()
			m.check()
		}
		m.converge()
	})
}

type model struct {
	rt        *rapid.T
	t         *testing.T
	w         *world
	consumers []*modelConsumer
	made      int
	deleted   map[string]bool
}

func newModel(rt *rapid.T, t *testing.T) *model {
	m := &model{rt: rt, t: t, w: newWorld(), deleted: map[string]bool{}}
	m.w.answers = map[coordinator.Ticket]any{}
	m.w.topics["t"], m.w.topics["u"] = 5, 3
	return m
}

func (m *model) step() {
	switch kind := rapid.IntRange(0, 20).Draw(m.rt, "kind"); {
	case kind <= 2:
		m.start()
	case kind == 3:
		m.leave(m.any())
	case kind == 4:
		if c := m.any(); c != nil {
			c.away, c.has = true, nil // it crashed: what it had is consumed by nobody
		}
	case kind == 5:
		m.changeTopic(rapid.SampledFrom([]string{"t", "u", "v"}).Draw(m.rt, "topic"), int32(rapid.IntRange(0, 7).Draw(m.rt, "partitions")))
	case kind == 6:
		if c := m.any(); c != nil {
			m.subscribe(c)
		}
	case kind == 7:
		m.w.failing = nil
		if rapid.Bool().Draw(m.rt, "fail") {
			m.w.failing = kerr.KafkaStorageError
		}
	case kind == 8:
		m.w.reload(m.t)
	case kind == 9:
		m.w.advance(time.Duration(rapid.IntRange(1, 60_000).Draw(m.rt, "wait")) * time.Millisecond)
		m.dropExpired()
	default:
		if c := m.any(); c != nil {
			m.heartbeat(c, rapid.IntRange(0, 9).Draw(m.rt, "lost") == 0)
		}
	}
}

func (m *model) start() {
	if len(m.alive()) >= 5 {
		return
	}
	m.made++
	c := &modelConsumer{id: fmt.Sprintf("m%d", m.made), full: true}
	if rapid.IntRange(0, 3).Draw(m.rt, "static") == 0 {
		instance := rapid.SampledFrom([]string{"one", "two"}).Draw(m.rt, "instance")
		c.instance = &instance
	}
	m.consumers = append(m.consumers, c)
	m.subscribe(c)
	m.heartbeat(c, false)
}

func (m *model) subscribe(c *modelConsumer) {
	c.full, c.regex = true, nil
	c.topics = rapid.SampledFrom([][]string{{"t"}, {"t", "u"}, {"u", "v"}, {}}).Draw(m.rt, "topics")
	none := ""
	c.regex = &none
	if len(c.topics) == 0 {
		regex := rapid.SampledFrom([]string{"t|u", ".*"}).Draw(m.rt, "regex")
		c.regex = &regex
	}
}

func (m *model) alive() []*modelConsumer {
	return slices.DeleteFunc(slices.Clone(m.consumers), func(c *modelConsumer) bool { return c.away })
}

func (m *model) any() *modelConsumer {
	if alive := m.alive(); len(alive) > 0 {
		return rapid.SampledFrom(alive).Draw(m.rt, "consumer")
	}
	return nil
}

func (m *model) ask(c *modelConsumer, r *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
	r.Version, r.Group, r.MemberID, r.InstanceID = 1, "g", c.id, c.instance
	m.w.last++
	m.w.asked[m.w.last] = c.id
	m.w.step(consumerHeartbeatRequest{key: groupKey{defaultTenant, "g"}, caller: Caller{Tenant: defaultTenant, ClientID: c.id, ClientHost: "/h"}, body: r,
		allowed: func(string) bool { return true }}, m.w.last)
	switch answer := m.w.answers[m.w.last].(type) {
	case *heldHeartbeat:
		return answer.answer.(*kmsg.ConsumerGroupHeartbeatResponse)
	case *kmsg.ConsumerGroupHeartbeatResponse:
		return answer
	}
	return nil // the write failed
}

func (m *model) heartbeat(c *modelConsumer, lost bool) {
	r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	r.MemberEpoch = c.epoch
	if c.epoch == 0 || c.full {
		r.RebalanceTimeoutMillis, r.SubscribedTopicNames, r.SubscribedTopicRegex = 30_000, append([]string{}, c.topics...), c.regex
	}
	r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	for _, id := range sortedIDs(c.has) {
		r.Topics = append(r.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: id, Partitions: c.has[id]})
	}
	answer := m.ask(c, r)
	if answer == nil || lost {
		c.full = true
		return
	}
	switch answer.ErrorCode {
	case 0:
		c.epoch, c.full = answer.MemberEpoch, false
		if answer.Assignment != nil {
			c.has = make(assignor.Partitions)
			for _, t := range answer.Assignment.Topics {
				c.has[t.TopicID] = t.Partitions
			}
		}
	case kerr.FencedMemberEpoch.Code, kerr.UnknownMemberID.Code, kerr.GroupIDNotFound.Code:
		c.has, c.epoch, c.full = nil, 0, true
	case kerr.FencedInstanceID.Code, kerr.UnreleasedInstanceID.Code:
		c.away, c.has = true, nil
	default:
		m.rt.Fatalf("%s is answered %s", c.id, showBeat(answer))
	}
}

func (m *model) leave(c *modelConsumer) {
	if c == nil || c.epoch == 0 {
		return
	}
	r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	r.MemberEpoch = leaving
	if c.instance != nil && rapid.Bool().Draw(m.rt, "for the time being") {
		r.MemberEpoch = leftStatic
	}
	c.away, c.has = true, nil // before it says so
	m.ask(c, r)
}

// dropExpired has consumers notice what their own clocks tell them.
func (m *model) dropExpired() {
	g := m.w.shard.lookup(groupKey{defaultTenant, "g"})
	for _, c := range m.alive() {
		if g == nil || g.consumer == nil || g.consumer.members[c.id] == nil {
			c.has, c.epoch, c.full = nil, 0, true
		}
	}
}

// changeTopic makes a topic, lets it grow, or deletes it (no partitions). Here its id is its name, so that it cannot come back: to its
// members that would be the topic they have, and not a new one. It does not shrink, either.
func (m *model) changeTopic(name string, partitions int32) {
	now, exists := m.w.topics[name]
	if m.deleted[name] || partitions > 0 && partitions < now {
		return
	}
	m.deleted[name] = exists && partitions == 0
	m.w.changeTopics(m.t, map[string]string{name: fmt.Sprint(partitions)})
	m.forgetDeleted()
}

func (m *model) forgetDeleted() {
	for _, c := range m.consumers {
		for id := range c.has {
			t, exists := m.w.topics.TopicByID(id)
			if !exists {
				delete(c.has, id)
			} else {
				n, _ := slices.BinarySearch(c.has[id], t.Partitions)
				c.has[id] = c.has[id][:n]
			}
		}
	}
}

func (m *model) check() {
	if err := m.w.checkReplay(); err != nil {
		m.rt.Fatal(err)
	}
	owner := map[string]string{}
	for _, c := range m.consumers {
		for id, partitions := range c.has {
			for _, p := range partitions {
				name := fmt.Sprintf("%s-%d", testTopicName(id), p)
				if owner[name] != "" {
					m.rt.Fatalf("%s is consumed by %s and %s", name, owner[name], c.id)
				}
				owner[name] = c.id
			}
		}
	}
	g := m.w.shard.lookup(groupKey{defaultTenant, "g"})
	counts := m.w.shard.figures
	if g != nil && g.consumer != nil {
		m.checkOwners(g.consumer)
		counts.consumers[g.consumer.state()]--
	}
	if counts.consumers != [consumerStateCount]int64{} {
		m.rt.Fatalf("figures %+v", m.w.shard.figures)
	}
}

// checkOwners holds the owners of partitions against what the members have.
func (m *model) checkOwners(c *consumerGroup) {
	count := 0
	for id, member := range c.members {
		for _, h := range []held{member.assigned, member.revoking} {
			for topic, partitions := range h {
				for p := range partitions {
					count++
					if c.owners[topic][p] != id {
						m.rt.Fatalf("%s-%d is held by %s, and owned by %q", testTopicName(topic), p, id, c.owners[topic][p])
					}
				}
			}
		}
		if c.soft[id] == nil || c.soft[id].session.index < 0 {
			m.rt.Fatalf("member %s has no session", id)
		}
	}
	for _, owners := range c.owners {
		count -= len(owners)
	}
	if count != 0 {
		m.rt.Fatalf("%d partitions are held by more than their owners", count)
	}
}

// converge lets everybody go on undisturbed.
func (m *model) converge() {
	m.w.failing = nil
	for range 12 { // sessions of the crashed end meanwhile
		m.w.advance(8 * time.Second)
		m.dropExpired()
		for _, c := range m.alive() {
			m.heartbeat(c, false)
			m.check()
		}
	}
	alive := m.alive()
	if len(alive) == 0 {
		return
	}
	c := m.w.shard.lookup(groupKey{defaultTenant, "g"}).consumer
	if c.state() != consumerStable || len(c.members) != len(alive) {
		m.rt.Fatalf("the group is %s with %d members of %d\n%s", c.state(), len(c.members), len(alive), dumpDurable(m.w.shard))
	}
	for topic, partitions := range m.w.topics {
		consumed, wanted := 0, int32(0)
		for _, a := range alive {
			subscribes := slices.Contains(c.topicsOf(c.members[a.id]), topic)
			if n := len(a.has[testTopicID(topic)]); n > 0 && !subscribes {
				m.rt.Fatalf("%s consumes %s and does not subscribe to it", a.id, topic)
			} else {
				consumed += n
			}
			if subscribes {
				wanted = partitions
			}
		}
		if consumed != int(wanted) {
			m.rt.Fatalf("%d of %d partitions of %s are consumed\n%s", consumed, wanted, topic, dumpDurable(m.w.shard))
		}
	}
}
