package controller

import (
	"cmp"
	"maps"
	"slices"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/image"
)

// PartitionID names a partition for ever.
type PartitionID struct {
	TopicID   image.TopicID
	Partition int32
}

// Load is what a replica weighs.
type Load struct {
	Bytes          int64
	BytesPerSecond float64 // written to it
}

// BrokerLoad is what the replicas of one broker weigh.
type BrokerLoad struct {
	BrokerID   int32
	Partitions map[PartitionID]Load
}

// Moves is a step of draining and balancing.
type Moves struct {
	Commands  command.Group
	Started   int
	Cancelled int
	Led       int  // partitions that a drained broker does not lead any more
	UnderWay  int  // moves that are under way after this step
	Stuck     int  // replicas on drained brokers that no other broker can take, as far as was looked
	Waiting   bool // as many are under way as may be; there may be more to do
}

// PlanMoves plans the next step of draining and, if balance is asked for, of balancing: reassignments that
// ListPartitionReassignments shows and AlterPartitionReassignments can cancel, no more at a time than
// millrace.balance.concurrent.moves. Kafka has neither.
//
// Brokers with millrace.drain=true, and those that hold replicas and are not registered, give up leaderships and replicas;
// each replica goes to the broker with the least load of those that spread the partition over most racks. Balancing moves a
// replica only if no fewer racks hold the partition afterwards, every replica is in sync, and the broker that gives stands
// out by more than a tenth. A move is cancelled when its reason is gone, or the broker that it goes to.
func (c *Controller) PlanMoves(img *image.Image, loads []BrokerLoad, balance bool) Moves {
	settings := c.settings.Broker(img)
	m := &mover{
		d: c.newDraft(img), drained: Drained(img), balance: balance && settings.Bool("millrace.balance.enable"),
		enabled: settings.Bool("millrace.balance.enable"), budget: int(settings.Int32("millrace.balance.concurrent.moves")),
	}
	m.gather(loads)
	m.cancelPointless()
	m.moveLeaderships()
	m.drain()
	if m.balance {
		m.balanceReplicas()
	}
	m.plan.Commands = m.d.group()
	m.plan.UnderWay = m.underWay
	return m.plan
}

// mover is one step of draining and balancing in the making.
type mover struct {
	d        *draft
	drained  map[int32]bool
	enabled  bool
	balance  bool
	budget   int // moves that may be under way
	underWay int
	plan     Moves

	replicas []*movable
	on       map[int32][]*movable // the replicas of each broker as the step began
	load     map[int32]float64    // of registered brokers, after the moves under way; the mean is near 1
	racks    map[int32]string
}

// movable is one partition with its weight.
type movable struct {
	td     *topicDraft
	number int32
	weight float64
}

func (m *movable) partition() *image.Partition { return m.td.partition(m.number) }

// target returns the replicas after the reassignment under way.
func (m *movable) target() []int32 {
	p := m.partition()
	return without(p.Replicas, p.RemovingReplicas...)
}

// gather weighs every partition and adds up brokers.
func (m *mover) gather(loads []BrokerLoad) {
	m.load, m.racks, m.on = map[int32]float64{}, map[int32]string{}, map[int32][]*movable{}
	for b := range m.d.img.Brokers() {
		m.load[b.ID], m.racks[b.ID] = 0, b.Rack
	}
	sizes := map[PartitionID]Load{}
	for _, broker := range loads {
		for id, l := range broker.Partitions {
			known := sizes[id]
			sizes[id] = Load{max(known.Bytes, l.Bytes), max(known.BytesPerSecond, l.BytesPerSecond)}
		}
	}
	var count, bytes, rate float64
	for t := range m.d.img.AllTopics() {
		td := m.d.topic(t)
		for i, p := range t.Partitions() {
			r := &movable{td: td, number: i}
			m.replicas = append(m.replicas, r)
			for _, id := range p.Replicas {
				m.on[id] = append(m.on[id], r)
			}
			l, factor := sizes[PartitionID{t.ID, i}], float64(len(p.Replicas)-len(p.RemovingReplicas))
			count, bytes, rate = count+factor, bytes+factor*float64(l.Bytes), rate+factor*l.BytesPerSecond
			if p.Mover != image.ByOperator {
				m.underWay++
			}
		}
	}
	brokers := float64(len(m.load))
	for _, r := range m.replicas {
		r.weight = weight(sizes[PartitionID{r.td.topic.ID, r.number}], count, bytes, rate) * brokers
		for _, id := range r.target() {
			if _, registered := m.load[id]; registered {
				m.load[id] += r.weight
			}
		}
	}
}

// weight is the share of one replica in all there is: of the bytes, of the traffic, and a little of the number.
func weight(l Load, count, bytes, rate float64) float64 {
	var shares []float64
	if bytes > 0 {
		shares = append(shares, float64(l.Bytes)/bytes)
	}
	if rate > 0 {
		shares = append(shares, l.BytesPerSecond/rate)
	}
	if len(shares) == 0 {
		return 1 / count
	}
	w := 0.1 / count
	for _, share := range shares {
		w += 0.9 * share / float64(len(shares))
	}
	return w
}

// leaving reports whether a broker is to hold nothing: it is drained, or was unregistered.
func (m *mover) leaving(id int32) bool {
	_, registered := m.load[id]
	return m.drained[id] || !registered && m.enabled
}

// cancelPointless ends the moves whose reason is gone, and those that lead to a broker that cannot take them.
func (m *mover) cancelPointless() {
	for _, r := range m.replicas {
		p := r.partition()
		reason := p.Mover == image.ByDrain && slices.ContainsFunc(p.RemovingReplicas, m.leaving) || p.Mover == image.ByBalance && m.enabled
		lost := slices.ContainsFunc(p.AddingReplicas, func(id int32) bool { return m.leaving(id) || !m.d.img.Broker(id).Active() })
		if p.Mover == image.ByOperator || reason && !lost {
			continue
		}
		before := r.target()
		if err := m.d.cancelReassignment(r.td, r.number, p); err != nil {
			continue
		}
		m.shift(r, before)
		m.underWay--
		m.plan.Cancelled++
	}
}

// shift corrects the loads after the target of a partition has changed.
func (m *mover) shift(r *movable, before []int32) {
	for _, id := range before {
		if _, registered := m.load[id]; registered {
			m.load[id] -= r.weight
		}
	}
	for _, id := range r.target() {
		if _, registered := m.load[id]; registered {
			m.load[id] += r.weight
		}
	}
}

// moveLeaderships lets somebody else lead what a drained broker leads, where somebody else is in sync.
func (m *mover) moveLeaderships() {
	if len(m.drained) == 0 {
		return
	}
	acceptable := func(id int32) bool { return !m.drained[id] && m.d.img.Broker(id).Active() }
	for _, r := range m.replicas {
		p := r.partition()
		if !m.drained[p.Leader] || !slices.ContainsFunc(p.ISR, acceptable) || m.plan.Led >= maxElectionsPerRound {
			continue
		}
		if r.td.put(r.number, newPartitionChange(p, r.td.minISR, acceptable)) {
			m.plan.Led++
		}
	}
}

// drain moves replicas off brokers that are to hold nothing.
func (m *mover) drain() {
	for _, r := range m.replicas {
		p := r.partition()
		at := slices.IndexFunc(p.Replicas, m.leaving)
		if at < 0 || p.Reassigning() {
			continue
		}
		if m.full() {
			return
		}
		target := slices.Clone(p.Replicas)
		moved := false
		for i, id := range target {
			if !m.leaving(id) {
				continue
			}
			if to, ok := m.roomiest(target, i); ok {
				target[i], moved = to, true
			} else {
				m.plan.Stuck++
			}
		}
		if moved {
			m.start(r, target, image.ByDrain)
		}
	}
}

// roomiest returns the broker that is best to take the place of replicas[at]: first for the number of racks, then for its
// load.
func (m *mover) roomiest(replicas []int32, at int) (id int32, ok bool) {
	best, bestRacks := int32(-1), 0
	for _, to := range slices.Sorted(maps.Keys(m.load)) {
		if !m.takes(to, replicas) {
			continue
		}
		racks := m.spread(replaced(replicas, at, to))
		if best < 0 || racks > bestRacks || racks == bestRacks && m.load[to] < m.load[best] {
			best, bestRacks = to, racks
		}
	}
	return best, best >= 0
}

// takes reports whether a broker can be given a replica beside the others.
func (m *mover) takes(id int32, replicas []int32) bool {
	return !m.leaving(id) && !slices.Contains(replicas, id) && m.d.img.Broker(id).Active()
}

func replaced(replicas []int32, at int, id int32) []int32 {
	after := slices.Clone(replicas)
	after[at] = id
	return after
}

// spread returns how many racks replicas lie on; a broker that is not registered lies on none.
func (m *mover) spread(replicas []int32) int {
	racks := map[string]bool{}
	for _, id := range replicas {
		if rack, registered := m.racks[id]; registered {
			racks[rack] = true
		}
	}
	return len(racks)
}

// full reports whether as many moves are under way as may be; what more there is to do is not looked for then.
func (m *mover) full() bool {
	m.plan.Waiting = m.plan.Waiting || m.underWay >= m.budget
	return m.underWay >= m.budget
}

// start begins a move, and reports whether that changes anything.
func (m *mover) start(r *movable, target []int32, mover image.Mover) bool {
	before := r.target()
	if !m.d.reassign(r.td, r.number, r.partition(), target, mover) {
		return false
	}
	m.shift(r, before)
	m.plan.Started++
	if r.partition().Mover != image.ByOperator { // else it was complete at once
		m.underWay++
	}
	return true
}

// tolerance is how far a broker may stand out, in parts of the mean, before replicas are moved for it; a move must better the
// two brokers by a part of that. So balancing ends, and small changes do not begin it again.
const tolerance = 0.1

// balanceReplicas moves replicas from brokers that have too much, each time the one that betters it most.
func (m *mover) balanceReplicas() {
	stays := slices.DeleteFunc(slices.Sorted(maps.Keys(m.load)), m.leaving)
	if len(stays) < 2 {
		return
	}
	mean := 0.0
	for _, id := range stays {
		mean += m.load[id] / float64(len(stays))
	}
	for !m.full() {
		slices.SortStableFunc(stays, func(a, b int32) int { return cmp.Compare(m.load[b], m.load[a]) })
		if !m.betterOne(stays, mean) {
			return
		}
	}
}

// betterOne starts the best move off the first broker that stands out and has one; brokers come by load, the most first.
func (m *mover) betterOne(brokers []int32, mean float64) bool {
	for _, from := range brokers {
		if m.load[from] <= mean*(1+tolerance) {
			break
		}
		r, target := m.bestMove(from, brokers, mean)
		if r != nil {
			return m.start(r, target, image.ByBalance)
		}
	}
	return m.fillLeast(brokers, mean)
}

// fillLeast starts the best move to the broker that has the least, if it stands out: where many have a little too much none
// of them does.
func (m *mover) fillLeast(brokers []int32, mean float64) bool {
	to := brokers[len(brokers)-1]
	if m.load[to] >= mean*(1-tolerance) {
		return false
	}
	for _, from := range brokers[:len(brokers)-1] {
		if r, target := m.bestMove(from, []int32{to}, mean); r != nil {
			return m.start(r, target, image.ByBalance)
		}
	}
	return false
}

// bestMove returns the move off a broker to one of others that betters the two most, nil if none does enough. Replicas that
// weigh much less than the broker's others are left alone: many moves of them would not make up for one that is too heavy
// to move.
func (m *mover) bestMove(from int32, others []int32, mean float64) (best *movable, target []int32) {
	bestGain, light := 0.0, m.averageOn(from)/4
	for _, r := range m.on[from] {
		p := r.partition()
		at := slices.Index(p.Replicas, from)
		if at < 0 || r.weight < light || p.Reassigning() || len(p.ISR) != len(p.Replicas) {
			continue
		}
		for _, to := range others {
			difference := m.load[from] - m.load[to] - r.weight
			gain := r.weight * difference
			if gain <= bestGain || difference < mean*tolerance/2 || !m.takes(to, p.Replicas) {
				continue
			}
			if after := replaced(p.Replicas, at, to); m.spread(after) >= m.spread(p.Replicas) {
				best, target, bestGain = r, after, gain
			}
		}
	}
	return best, target
}

// averageOn returns what a replica on a broker weighs on average.
func (m *mover) averageOn(id int32) float64 {
	sum := 0.0
	for _, r := range m.on[id] {
		sum += r.weight
	}
	return sum / max(float64(len(m.on[id])), 1)
}
