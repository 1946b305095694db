package sim

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
)

const heartbeatEvery = 200 * time.Millisecond

// metadata is the metadata quorum: a log of committed entries and the node that leads it. The log itself never forgets; who
// leads changes, and the outcome of what was asked for at that moment is not known to whoever asked.
type metadata struct {
	w      *World
	core   *controller.Controller
	images []*image.Image // images[i] is after entry i
	topic  image.TopicID

	leader    int32 // 0: nobody
	term      int
	lostSince time.Duration   // since when the leader has no majority; 0: it has
	heard     []time.Duration // by id - 1: the last heartbeat, on the leader's clock
	planned   []*plan         // waiting their turn at the leader
	busy      bool
}

// plan is a request to the controller: made is what it wants in the log, given the newest image.
type plan struct {
	make func(*image.Image) (command.Group, func(index int))
	fail func() // the outcome is not known
}

func newMetadata(w *World) *metadata {
	m := &metadata{w: w, heard: make([]time.Duration, w.cfg.Nodes)}
	m.core = controller.New(config.NewResolver(1, map[string]string{"min.insync.replicas": "2"}))
	m.topic = image.TopicID{1, 2, 3}
	m.images = []*image.Image{image.Empty()}
	m.commit(controller.Bootstrap("simulated-cluster-0001", "2"))
	w.at(20*time.Millisecond, m.watch)
	return m
}

// newTopic places three replicas of each partition round the nodes, all of which are in sync.
func (m *metadata) newTopic() *image.Topic {
	var parts []*image.Partition
	for i := range m.w.cfg.Partitions {
		var replicas []int32
		for j := range 3 {
			replicas = append(replicas, int32((i+j)%m.w.cfg.Nodes)+1)
		}
		parts = append(parts, &image.Partition{Replicas: replicas, ISR: replicas, Leader: replicas[0]})
	}
	return image.NewTopic(m.topic, "default", "simulated", false, nil, parts)
}

func (m *metadata) newest() *image.Image { return m.images[len(m.images)-1] }
func (m *metadata) index() int           { return len(m.images) - 1 }

// commit puts a group into the log. A group that does not apply leaves an entry that changes nothing.
func (m *metadata) commit(g command.Group) (index int, applied bool) {
	index = len(m.images)
	next, refusals := command.Apply(m.newest(), uint64(index), []command.Group{g}, image.NewChanges())
	m.images = append(m.images, next)
	m.w.note("metadata %d: %v", index, describe(g))
	m.w.oracle.metadataChanged()
	return index, refusals[0] == nil
}

// propose asks the controller core on a node that believes to lead, and puts what it plans into the log. Requests take
// turns.
func (m *metadata) propose(n *node, p *plan) bool {
	if m.leader != n.id {
		return false
	}
	m.planned = append(m.planned, p)
	m.next()
	return true
}

func (m *metadata) next() {
	if m.busy || len(m.planned) == 0 {
		return
	}
	p := m.planned[0]
	m.planned = m.planned[1:]
	group, done := p.make(m.newest())
	if len(group) == 0 {
		done(m.index())
		m.w.at(0, m.next)
		return
	}
	m.busy = true
	term := m.term
	m.w.at(m.w.between(time.Millisecond, 8*time.Millisecond), func() {
		leader := m.w.node(m.leader)
		if m.term != term || leader == nil || !m.hasMajority(leader) {
			m.lost(p, group, term)
			return
		}
		index, _ := m.commit(group)
		m.busy = false
		done(index)
		m.tell(leader)
		m.next()
	})
}

// lost is a proposal whose leader lost its leadership: the successor may have the entry or not, and nobody knows.
func (m *metadata) lost(p *plan, group command.Group, term int) {
	if m.w.chance(2) && m.term == term {
		m.commit(group)
	}
	m.busy = false
	p.fail()
	waiting := m.planned
	m.planned = nil
	for _, other := range waiting {
		other.fail()
	}
}

// tell lets the others know that there is more.
func (m *metadata) tell(leader *node) {
	index := m.index()
	leader.applyUpTo(index)
	for _, n := range m.w.nodes {
		if n != leader {
			m.w.send(leader, n, func() { n.applyUpTo(index) })
		}
	}
}

// gone ends the leadership of a process that ended.
func (m *metadata) gone(n *node) {
	if m.leader == n.id {
		m.leader, m.lostSince = 0, m.w.now
		m.term++
	}
}

func (m *metadata) hasMajority(n *node) bool {
	if !n.up || n.paused {
		return false
	}
	with := 0
	for _, other := range m.w.nodes {
		if other.up && !other.paused && m.w.reaches(n, other) {
			with++
		}
	}
	return with > m.w.cfg.Nodes/2
}

// watch elects a leader when the present one has had no majority for a while, and fences brokers that are silent.
func (m *metadata) watch() {
	m.w.at(m.w.between(20*time.Millisecond, 60*time.Millisecond), m.watch)
	leader := m.w.node(m.leader)
	switch {
	case leader != nil && m.hasMajority(leader):
		m.lostSince = 0
		m.fenceSilent(leader)
		m.createTopic(leader)
		m.electAnybody(leader)
	case m.lostSince == 0:
		m.lostSince = m.w.now
	case m.w.now-m.lostSince > m.w.between(100*time.Millisecond, 500*time.Millisecond):
		m.elect()
	}
}

// elect makes any node the leader that has a majority. It has every committed entry, and gives every broker a whole session.
func (m *metadata) elect() {
	var able []*node
	for _, n := range m.w.nodes {
		if m.hasMajority(n) {
			able = append(able, n)
		}
	}
	if len(able) == 0 {
		return
	}
	n := able[m.w.rng.IntN(len(able))]
	if m.w.is(ForgetsMetadata) && len(m.images) > 3 && m.w.chance(4) {
		m.images = m.images[:len(m.images)-1]
	}
	m.leader, m.lostSince = n.id, 0
	m.term++
	m.w.Stats.Controllers++
	m.w.note("node %d is the controller", n.id)
	for i := range m.heard {
		m.heard[i] = n.clock()
	}
	m.tell(n)
}

// createTopic makes the topic once everybody is there: a replica that registers for the first time has nothing.
func (m *metadata) createTopic(leader *node) {
	m.propose(leader, &plan{make: func(img *image.Image) (command.Group, func(int)) {
		if img.TopicByID(m.topic) != nil {
			return nil, func(int) {}
		}
		for id := range int32(m.w.cfg.Nodes) {
			if b := img.Broker(id + 1); b == nil || b.Fenced {
				return nil, func(int) {}
			}
		}
		return command.Group{command.CreateTopic{Topic: m.newTopic()}}, func(int) {}
	}, fail: func() {}})
}

func (m *metadata) fenceSilent(leader *node) {
	for b := range m.newest().Brokers() {
		if b.Fenced || leader.clock()-m.heard[b.ID-1] < m.w.session {
			continue
		}
		m.fence(leader, b.ID)
	}
}

// electAnybody is a planted fault.
func (m *metadata) electAnybody(leader *node) {
	if !m.w.is(ElectsAnybody) {
		return
	}
	m.propose(leader, &plan{make: func(img *image.Image) (command.Group, func(int)) {
		change := command.ChangePartitions{TopicID: m.topic}
		for i := range int32(m.w.cfg.Partitions) {
			p := partitionOf(img, m.topic, int(i))
			if p == nil {
				break
			}
			for _, id := range p.Replicas {
				if p.Leader < 0 && len(change.Changes) == 0 && img.Broker(id).Active() {
					state := *p
					state.ISR, state.ELR = []int32{id}, nil
					change.Changes = append(change.Changes, command.PartitionChange{Partition: i, PartitionEpoch: p.PartitionEpoch, Leader: id, LeaderEpoch: p.LeaderEpoch + 1, State: &state})
				}
			}
		}
		if len(change.Changes) == 0 {
			return nil, func(int) {}
		}
		return command.Group{change}, func(int) {}
	}, fail: func() {}})
}

func (m *metadata) fence(leader *node, id int32) {
	m.propose(leader, &plan{make: func(img *image.Image) (command.Group, func(int)) {
		if b := img.Broker(id); b == nil || b.Fenced {
			return nil, func(int) {}
		}
		m.w.note("broker %d is fenced", id)
		return m.core.FenceBroker(img, id), func(int) {}
	}, fail: func() {}})
}

// register answers a broker's registration with its epoch, or an error.
func (m *metadata) register(at *node, b image.Broker, answer func(any)) {
	ok := m.propose(at, &plan{make: func(img *image.Image) (command.Group, func(int)) {
		alive := at.clock()-m.heard[b.ID-1] < m.w.session
		group, err := m.core.RegisterBroker(img, controller.Registration{Broker: b, Alive: alive})
		return group, func(index int) {
			if err != nil {
				answer(err)
				return
			}
			m.heard[b.ID-1] = at.clock()
			answer(m.newest().Broker(b.ID).Epoch)
		}
	}, fail: func() { answer(kerr.NotController) }})
	if !ok {
		answer(kerr.NotController)
	}
}

// heartbeat answers with a controller.HeartbeatAnswer, or an error.
func (m *metadata) heartbeat(at *node, h controller.Heartbeat, answer func(any)) {
	if m.leader != at.id {
		answer(kerr.NotController)
		return
	}
	if err := controller.CheckBrokerEpoch(m.newest(), h.BrokerID, h.BrokerEpoch); err != nil {
		answer(err)
		return
	}
	m.heard[h.BrokerID-1] = at.clock()
	state := controller.BrokerFenced
	m.propose(at, &plan{make: func(img *image.Image) (command.Group, func(int)) {
		b := img.Broker(h.BrokerID)
		state = controller.NextState(b, h, func() bool { return controller.Leads(img, h.BrokerID) }, func() bool { return true })
		var group command.Group
		if state != controller.StateOf(b) || state == controller.BrokerInShutdown {
			group = m.core.MoveBroker(img, h, state)
		}
		return group, func(int) {
			answer(controller.HeartbeatAnswer{CaughtUp: h.MetadataOffset >= b.Epoch, Fenced: state == controller.BrokerFenced, ShouldShutdown: state == controller.BrokerMayStop})
		}
	}, fail: func() { answer(kerr.NotController) }})
}

// alter answers with a controller.ISROutcome, or an error.
func (m *metadata) alter(at *node, broker int32, epoch int64, change controller.ISRChange, answer func(any)) {
	ok := m.propose(at, &plan{make: func(img *image.Image) (command.Group, func(int)) {
		outcomes, group, err := m.core.AlterPartitions(img, broker, epoch, []controller.ISRChange{change})
		return group, func(int) {
			if err != nil {
				answer(err)
			} else {
				answer(outcomes[0])
			}
		}
	}, fail: func() { answer(kerr.RequestTimedOut) }})
	if !ok {
		answer(kerr.NotController)
	}
}
