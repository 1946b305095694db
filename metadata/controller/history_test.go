package controller

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
)

// history is a cluster with what its brokers have on their disks, as far as the controller's promises are about that.
type history struct {
	t       *rapid.T
	c       *Controller
	img     *image.Image
	ids     byte
	records int // numbers the records

	brokers map[int32]*modelBroker
	parts   map[string]*modelPartition // by topic id and number
}

type modelPartition struct {
	logs      map[int32][]int // what each broker has, committed or not
	stored    map[int32][]int // what each broker has on a disk that is away
	committed []int
	gone      bool // a disk was lost or an unclean leader elected: records may be lost by request
}

const modelBrokers = 5

func newHistory(t *rapid.T) *history {
	h := &history{
		t: t, c: New(config.NewResolver(1, nil)), img: image.Empty(), brokers: map[int32]*modelBroker{}, parts: map[string]*modelPartition{},
	}
	h.c.newTopicID = func() image.TopicID { h.ids++; return image.TopicID{15: h.ids} }
	h.apply(Bootstrap("cluster", ""))
	for id := int32(1); id <= modelBrokers; id++ {
		h.brokers[id] = &modelBroker{disks: [2]byte{byte(id), byte(id) + 5}}
		h.start(id)
		h.unfence(id)
	}
	for i, minISR := range []string{"1", "2", "2"} {
		settings := map[string]*string{minISRKey: &minISR}
		if yes := "true"; i == 2 {
			settings["write.caching"] = &yes
		}
		_, group := h.c.CreateTopics(h.img, "default", []NewTopic{{Name: fmt.Sprint("t", i), PartitionCount: 2, ReplicationFactor: 3, Configs: settings}})
		h.apply(group)
	}
	return h
}

// apply puts a group through the bytes of the log; a group that was planned on the image must fit it.
func (h *history) apply(g command.Group) {
	if len(g) == 0 {
		return
	}
	groups, err := command.Decode(command.Encode([]command.Group{g}))
	if err != nil {
		h.t.Fatalf("decode %+v: %v", g, err)
	}
	before := h.img
	next, refusals := command.Apply(h.img, h.img.Index()+1, groups, image.NewChanges())
	if refusals[0] != nil {
		h.t.Fatalf("planned commands do not apply: %v", refusals[0])
	}
	h.img = next
	h.check(before)
}

func (h *history) model(t *image.Topic, i int32) *modelPartition {
	key := fmt.Sprint(t.ID, i)
	if h.parts[key] == nil {
		h.parts[key] = &modelPartition{logs: map[int32][]int{}, stored: map[int32][]int{}}
	}
	return h.parts[key]
}

func (h *history) each(fn func(t *image.Topic, i int32, p *image.Partition, m *modelPartition)) {
	for t := range h.img.AllTopics() {
		for i, p := range t.Partitions() {
			fn(t, i, p, h.model(t, i))
		}
	}
}

// check holds the image against what must be true after every change.
func (h *history) check(before *image.Image) {
	h.each(func(t *image.Topic, i int32, p *image.Partition, m *modelPartition) {
		name := fmt.Sprintf("%s-%d %s", t.Name, i, partitionText(i, p))
		inReplicas := func(list []int32) bool { return containsAll(p.Replicas, list) }
		switch {
		case !inReplicas(p.ISR) || !inReplicas(p.ELR) || !inReplicas(p.AddingReplicas) || !inReplicas(p.RemovingReplicas) || !inReplicas(p.LastKnownELR):
			h.t.Fatalf("%s: not all are replicas", name)
		case hasDuplicates(p.ISR) || hasDuplicates(p.ELR) || hasDuplicates(p.Replicas) || hasDuplicates(slices.Concat(p.ISR, p.ELR)):
			h.t.Fatalf("%s: somebody is there twice", name)
		case p.Leader >= 0 && !slices.Contains(p.ISR, p.Leader):
			h.t.Fatalf("%s: the leader is not in sync", name)
		case p.Leader >= 0 && !h.img.Broker(p.Leader).Active():
			h.t.Fatalf("%s: the leader is not active", name)
		case p.Leader < 0 && len(p.ISR) > 0:
			h.t.Fatalf("%s: somebody is in sync with nobody", name)
		case len(p.ISR) >= min(h.minISR(t), len(p.Replicas)) && len(p.ELR) > 0:
			h.t.Fatalf("%s: eligible beside an ISR that commits without them", name)
		case !p.Reassigning() && p.Mover != image.ByOperator:
			h.t.Fatalf("%s: nothing is moved, but by somebody", name)
		}
		old := before.TopicByID(t.ID)
		if old == nil || old.Partition(i) == nil {
			return
		}
		o := old.Partition(i)
		if p.LeaderEpoch < o.LeaderEpoch || p.PartitionEpoch < o.PartitionEpoch || p.Leader != o.Leader && p.LeaderEpoch == o.LeaderEpoch {
			h.t.Fatalf("%s: epochs do not follow %s", name, partitionText(i, o))
		}
		if p.Leader >= 0 && p.Leader != o.Leader && h.serves(p.Leader, t, i) {
			h.elected(name, p, o, m)
		}
	})
}

// elected holds a new leader's log against what was committed.
func (h *history) elected(name string, p, o *image.Partition, m *modelPartition) {
	log := m.logs[p.Leader]
	if hasPrefix(log, m.committed) {
		return
	}
	if p.RecoveryState == image.Recovered || o.RecoveryState == image.Recovering && len(o.ISR) > 0 {
		h.t.Fatalf("%s: the leader has %v, committed is %v", name, log, m.committed)
	}
	if !m.gone {
		h.t.Fatalf("%s: elected without having %v, though nobody asked for that", name, m.committed)
	}
	m.committed = slices.Clone(log[:commonPrefix(log, m.committed)])
}

func (h *history) minISR(t *image.Topic) int {
	return int(h.c.settings.TopicWith(h.img, t.Config).Int32(minISRKey))
}

func (h *history) start(id int32) {
	b := h.brokers[id]
	b.incarnation++
	registration := image.Broker{ID: id, Incarnation: [16]byte{b.incarnation}, Epoch: b.cleanEpoch, Rack: string('a' + id%3), Directories: b.directories()}
	group, err := h.c.RegisterBroker(h.img, Registration{Broker: registration})
	if err != nil {
		h.t.Fatalf("register %d: %v", id, err)
	}
	h.apply(group)
	b.running, b.cleanEpoch = true, 0
	h.lookAround(id)
}

// crash stops a broker at once. What it had in memory only is lost, which may be anything of a topic with write caching.
func (h *history) crash(id int32) {
	h.brokers[id].running = false
	h.each(func(t *image.Topic, i int32, _ *image.Partition, m *modelPartition) {
		if log := m.logs[id]; t.Config["write.caching"] == "true" && len(log) > 0 {
			m.logs[id] = log[:rapid.IntRange(0, len(log)).Draw(h.t, "kept")]
			m.gone = true
		}
	})
}

func (h *history) stopCleanly(id int32) {
	h.apply(h.c.ShutDownBroker(h.img, id))
	if Leads(h.img, id) {
		h.t.Fatalf("broker %d leads in controlled shutdown", id)
	}
	h.apply(h.c.FenceBroker(h.img, id))
	h.brokers[id].running, h.brokers[id].cleanEpoch = false, h.img.Broker(id).Epoch
}

// replicate lets one partition live on: records come, followers copy, the high watermark moves, the ISR follows.
func (h *history) replicate(t *image.Topic, i int32, all bool) {
	p, m := t.Partition(i), h.model(t, i)
	if p.Leader < 0 || !h.brokers[p.Leader].running || !h.usable(p.Leader, t, i) {
		return
	}
	if !all {
		h.records++
		m.logs[p.Leader] = append(slices.Clone(m.logs[p.Leader]), h.records)
	}
	isr := []ISRMember{{p.Leader, -1}}
	for _, id := range p.Replicas {
		if id == p.Leader {
			continue
		}
		able := h.brokers[id].running && h.img.Broker(id).Active() && h.usable(id, t, i)
		if copied := able && (all || rapid.Bool().Draw(h.t, "copies")); copied {
			m.logs[id] = slices.Clone(m.logs[p.Leader])
		}
		if able && slices.Equal(m.logs[id], m.logs[p.Leader]) || slices.Contains(p.ISR, id) && (!able || rapid.Bool().Draw(h.t, "stays")) {
			isr = append(isr, ISRMember{id, -1})
		}
	}
	h.commit(t, p, m)
	if p.RecoveryState == image.Recovering {
		isr = isr[:1]
	}
	isr = slices.DeleteFunc(isr, func(m ISRMember) bool { return p.Lost(m.ID) })
	change := ISRChange{TopicID: t.ID, Partition: i, LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch, ISR: isr}
	_, group, err := h.c.AlterPartitions(h.img, p.Leader, h.img.Broker(p.Leader).Epoch, []ISRChange{change})
	if err != nil {
		h.t.Fatal(err)
	}
	h.apply(group)
	h.commit(h.img.TopicByID(t.ID), h.img.TopicByID(t.ID).Partition(i), m)
}

// commit moves the high watermark to what every in-sync replica has, if there are enough of them and their leader lives.
func (h *history) commit(t *image.Topic, p *image.Partition, m *modelPartition) {
	if p.Leader < 0 || !h.brokers[p.Leader].running || len(p.ISR) < min(h.minISR(t), len(p.Replicas)) {
		return
	}
	log := m.logs[p.Leader]
	for _, id := range p.ISR {
		log = log[:commonPrefix(log, m.logs[id])]
	}
	if len(log) > len(m.committed) {
		m.committed = slices.Clone(log)
	}
}

func (h *history) step() {
	id := rapid.Int32Range(1, modelBrokers).Draw(h.t, "broker")
	b, registered := h.brokers[id], h.img.Broker(id)
	topics := slices.Collect(h.img.AllTopics())
	topic := topics[rapid.IntRange(0, len(topics)-1).Draw(h.t, "topic")]
	partition := rapid.Int32Range(0, int32(topic.PartitionCount())-1).Draw(h.t, "partition")
	switch rapid.SampledFrom([]string{"live", "live", "live", "live", "crash", "fence", "stop", "start", "start", "unfence", "unfence", "tell", "tell", "disk", "reassign", "cancel", "elect", "balance", "min", "drain", "moves"}).Draw(h.t, "step") {
	case "live":
		h.replicate(topic, partition, false)
	case "crash":
		if b.running {
			h.crash(id)
		}
	case "fence":
		h.apply(h.c.FenceBroker(h.img, id))
	case "stop":
		if b.running && !registered.Fenced {
			h.stopCleanly(id)
		}
	case "start":
		if !b.running {
			h.start(id)
		}
	case "unfence":
		if b.running && b.incarnation == registered.Incarnation[0] {
			h.unfence(id)
		}
	case "tell":
		if b.running {
			h.tell(id)
		}
	case "disk":
		h.disk(id)
	case "reassign":
		h.reassign(topic, partition, h.drawReplicas())
	case "cancel":
		h.reassign(topic, partition, nil)
	case "elect":
		kind := rapid.SampledFrom([]ElectionType{PreferredElection, UncleanElection}).Draw(h.t, "kind")
		if m := h.model(topic, partition); kind == UncleanElection {
			m.gone = true
		}
		_, group, _ := h.c.ElectLeaders(h.img, "default", kind, []TopicPartitions{{topic.Name, []int32{partition}}})
		h.apply(group)
	case "balance":
		group, _ := h.c.BalanceLeaders(h.img)
		h.apply(group)
	case "drain":
		h.set(brokerResource(id), drainKey, fmt.Sprint(rapid.Bool().Draw(h.t, "drain")))
	case "moves":
		h.moves(rapid.Bool().Draw(h.t, "balance"))
	case "min":
		h.set(config.Resource{Type: config.TopicResource, Name: topic.Name}, minISRKey, fmt.Sprint(rapid.IntRange(1, 3).Draw(h.t, "min")))
	}
}

func (h *history) drawReplicas() []int32 {
	all := rapid.Permutation([]int32{1, 2, 3, 4, 5}).Draw(h.t, "replicas")
	return all[:rapid.IntRange(1, 4).Draw(h.t, "factor")]
}

func (h *history) reassign(t *image.Topic, partition int32, replicas []int32) {
	_, group := h.c.AlterReassignments(h.img, "default", []Reassignment{{t.Name, partition, replicas}}, true)
	h.apply(group)
}

func (h *history) set(r config.Resource, key, value string) {
	errs, group := h.c.AlterConfigs(h.img, []ConfigChange{{Resource: r, Ops: []ConfigOp{{Name: key, Op: OpSet, Value: &value}}}})
	if errs[0] != nil {
		h.t.Fatal(errs[0])
	}
	h.apply(group)
}

// moves takes a step of draining and balancing, and holds it against its promises.
func (h *history) moves(balance bool) Moves {
	loads := []BrokerLoad{{BrokerID: 1, Partitions: map[PartitionID]Load{}}}
	h.each(func(t *image.Topic, i int32, _ *image.Partition, m *modelPartition) {
		loads[0].Partitions[PartitionID{t.ID, i}] = Load{Bytes: int64(len(m.committed) + int(i))}
	})
	before := h.img
	m := h.c.PlanMoves(h.img, loads, balance)
	h.apply(m.Commands)
	h.each(func(t *image.Topic, i int32, p *image.Partition, _ *modelPartition) {
		if old := before.TopicByID(t.ID).Partition(i); p.Mover == image.ByBalance && old.Mover == image.ByOperator {
			if h.racks(without(p.Replicas, p.RemovingReplicas...)) < h.racks(old.Replicas) {
				h.t.Fatalf("%s-%d is balanced onto fewer racks: %s", t.Name, i, partitionText(i, p))
			}
		}
		if p.Mover != image.ByOperator && len(p.AddingReplicas) != len(p.RemovingReplicas) {
			h.t.Fatalf("%s-%d gets another number of replicas: %s", t.Name, i, partitionText(i, p))
		}
	})
	return m
}

func (h *history) racks(ids []int32) int {
	racks := map[string]bool{}
	for _, id := range ids {
		racks[h.img.Broker(id).Rack] = true
	}
	return len(racks)
}

// settle lets draining and balancing come to an end.
func (h *history) settle() {
	for range 60 {
		m := h.moves(true)
		h.each(func(t *image.Topic, i int32, _ *image.Partition, _ *modelPartition) {
			h.replicate(h.img.TopicByID(t.ID), i, true)
		})
		if len(m.Commands) == 0 {
			return
		}
	}
	h.t.Fatal("draining and balancing do not come to an end")
}

// heal starts everybody and lets everything be copied.
func (h *history) heal() {
	for id := int32(1); id <= modelBrokers; id++ {
		h.mendDisks(id)
		if !h.brokers[id].running {
			h.start(id)
		}
		for h.tell(id) {
		}
		h.unfence(id)
	}
	for range 6 {
		h.each(func(t *image.Topic, i int32, _ *image.Partition, _ *modelPartition) {
			h.replicate(h.img.TopicByID(t.ID), i, true)
		})
	}
}

func TestHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(t)
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			h.step()
		}
		targets := map[string][]int32{}
		h.each(func(t *image.Topic, i int32, p *image.Partition, _ *modelPartition) {
			targets[fmt.Sprint(t.Name, i)] = without(p.Replicas, p.RemovingReplicas...)
		})
		h.heal()
		h.each(func(topic *image.Topic, i int32, p *image.Partition, m *modelPartition) {
			if p.Leader < 0 {
				if len(p.ELR) > 0 {
					t.Fatalf("%s-%d stays without a leader: %s", topic.Name, i, partitionText(i, p))
				}
				return // the disks of all that had its records are gone
			}
			if p.Reassigning() || !slices.Equal(p.Replicas, targets[fmt.Sprint(topic.Name, i)]) || len(p.ISR) != len(p.Replicas) {
				t.Fatalf("%s-%d has not come to rest: %s", topic.Name, i, partitionText(i, p))
			}
			if !hasPrefix(m.logs[p.Leader], m.committed) {
				t.Fatalf("%s-%d lost records", topic.Name, i)
			}
		})
		h.settle()
		drained := Drained(h.img)
		h.each(func(topic *image.Topic, i int32, p *image.Partition, m *modelPartition) {
			holds := slices.ContainsFunc(p.Replicas, func(id int32) bool { return drained[id] })
			if p.Leader >= 0 && (p.Reassigning() || !hasPrefix(m.logs[p.Leader], m.committed) || holds && len(p.Replicas) <= modelBrokers-len(drained)) {
				t.Fatalf("%s-%d after the moves, with %v drained: %s", topic.Name, i, drained, partitionText(i, p))
			}
		})
	})
}

func hasDuplicates(list []int32) bool {
	sorted := slices.Sorted(slices.Values(list))
	return len(slices.Compact(sorted)) != len(list)
}

func commonPrefix(a, b []int) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

func hasPrefix(log, prefix []int) bool { return commonPrefix(log, prefix) == len(prefix) }
