package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/txn"
)

// producing is one instance of a transactional producer: it owns a goroutine, which asks the world for everything. It behaves as
// a Java producer of its transaction version does, and now and then as one that was paused for too long, or whose process was
// replaced while it still runs.
type producing struct {
	t             *transactions
	id            int32
	name          string // the transactional id
	instance      int32
	version       int32 // of transactions: 1 or 2
	rng           *rand.Rand
	timeoutMillis int32
	asked         int
	meddled       bool // a proxy had its hands in the requests of coordinate

	producer  txn.Producer
	sequences map[int]int32 // by place of a partition: the next
}

// errFenced ends an instance: another one has the transactional id.
var errFenced = errors.New("fenced")

const (
	requestTimeout = 700 * time.Millisecond
	maxAttempts    = 25
)

// run is the life of an instance.
func (p *producing) run() {
	defer p.world(func(done func()) { p.t.gone(p); done() })
	p.producer = txn.Producer{ID: -1, Epoch: -1}
	known := false
	for !p.t.resting.Load() && !p.t.over() {
		if !known && p.initialize() != nil {
			return
		}
		clean, err := p.transact()
		if err != nil {
			return
		}
		known = clean
		p.rest()
		p.sleep(time.Duration(p.rng.IntN(40)) * time.Millisecond)
	}
}

// rest sometimes lets the transactional id expire, as long as faults last.
func (p *producing) rest() {
	if !p.t.rests || p.rng.IntN(15) > 0 {
		return
	}
	calm := false
	p.world(func(done func()) { calm = p.t.w.calm; done() })
	if !calm {
		p.sleep(time.Duration(p.t.settings.IDExpirationMillis+p.rng.Int64N(2000)) * time.Millisecond)
	}
}

// world has something done by the world.
func (p *producing) world(fn func(done func())) bool {
	p.asked++
	return p.t.bubble.ask(p.t.context(), fmt.Sprintf("producer %d.%d %d", p.id, p.instance, p.asked), fn)
}

func (p *producing) sleep(d time.Duration) {
	p.world(func(done func()) { p.t.w.at(d, done) })
}

// call asks a node that the world chooses, and waits for its answer; a nil node, and no answer in time, is an error.
func (p *producing) call(choose func() *node, fragile bool, handle func(s *services, answer func(any))) (answer any, err error) {
	p.world(func(done func()) {
		w := p.t.w
		target := choose()
		if target == nil {
			err = kerr.CoordinatorNotAvailable
			w.at(w.between(5*time.Millisecond, 30*time.Millisecond), done)
			return
		}
		meddled := w.request(nil, target, requestTimeout, fragile, handle, func(a any, ok bool) {
			if answer = a; !ok {
				err = kerr.RequestTimedOut
			}
			done()
		})
		p.meddled = p.meddled || meddled
	})
	if p.t.over() {
		return nil, errFenced
	}
	if failed, is := answer.(error); is && err == nil {
		err = failed
	}
	return answer, err
}

// anyImage is what some node believes.
func (p *producing) leaderOf(place int) func() *node {
	return func() *node {
		w := p.t.w
		leads := partitionOf(w.nodes[w.rng.IntN(len(w.nodes))].image(), w.meta.topic, place)
		if leads == nil {
			return nil
		}
		return w.node(leads.Leader)
	}
}

func (p *producing) coordinator() *node {
	w := p.t.w
	id, ok := coordinatorIn(w, w.nodes[w.rng.IntN(len(w.nodes))].image(), p.name)
	if !ok {
		return nil
	}
	return w.node(id)
}

// given is the answer to InitProducerId and EndTxn.
type given struct {
	producer txn.Producer
	err      *kerr.Error
}

// coordinate asks the coordinator until it answers with something that is not to be tried again. certain says that no attempt
// before the answer may have had an effect.
func (p *producing) coordinate(what string, fragile bool, code func(s *services) given) (producer txn.Producer, certain bool, err error) {
	certain, p.meddled = p.t.w.network.twice == 0, false
	for range maxAttempts {
		var answer any
		if answer, err = p.call(p.coordinator, fragile, func(s *services, answer func(any)) {
			if !s.n.serves() {
				answer(kerr.NotCoordinator)
				return
			}
			s.coordinate(what, p, code, answer)
		}); err == nil {
			g := answer.(given)
			if g.err == nil {
				return g.producer, certain && !p.meddled, nil
			}
			err = g.err
		}
		if !isRetriable(err) {
			return txn.Producer{}, certain && !p.meddled, err
		}
		certain = certain && (err == kerr.ConcurrentTransactions || err == kerr.CoordinatorLoadInProgress)
		p.sleep(time.Duration(10+p.rng.IntN(90)) * time.Millisecond)
	}
	return txn.Producer{}, false, err
}

func isRetriable(err error) bool {
	switch err {
	case kerr.NotCoordinator, kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress, kerr.ConcurrentTransactions, kerr.RequestTimedOut,
		kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.NetworkException, kerr.UnknownTopicOrPartition:
		return true
	}
	return false
}

// initialize gets an epoch, or says that another instance has the transactional id.
func (p *producing) initialize() error {
	for !p.t.over() {
		expected := p.producer
		var before txn.Producer
		p.world(func(done func()) { before = p.t.ledger.latest[p.id]; done() })
		producer, _, err := p.coordinate("init", false, func(s *services) given {
			producer, err := s.txns.InitProducerID(s.ctx, "default", p.name, p.timeoutMillis, expected)
			return given{producer, err}
		})
		switch {
		case err == nil:
			p.world(func(done func()) { p.t.ledger.given(p, "InitProducerId", before, producer); done() })
			p.producer, p.sequences = producer, map[int]int32{}
			return nil
		case isRetriable(err):
			if p.t.resting.Load() {
				return err
			}
		default:
			return errFenced
		}
	}
	return errFenced
}

// transact is one transaction. clean says that the producer can go on as it is; an error ends the instance.
func (p *producing) transact() (clean bool, err error) {
	var x *entry
	p.world(func(done func()) { x = p.t.ledger.begin(p); done() })
	if x == nil {
		return false, errFenced
	}
	written := p.write(x)
	if written == errFenced {
		return false, errFenced
	}
	p.misbehave()
	commit := written == nil && p.rng.IntN(4) > 0
	return p.finish(x, commit, written == nil)
}

// misbehave sometimes takes longer than the transaction may, and sometimes has another instance started meanwhile, as long as faults last.
func (p *producing) misbehave() {
	kind := p.rng.IntN(12)
	if kind > 1 {
		return
	}
	calm := false
	p.world(func(done func()) {
		if calm = p.t.w.calm; kind == 0 && !calm {
			p.t.w.Stats.Zombies++
			p.t.spawn(p.id, p.version, p.t.w.between(0, time.Second))
		}
		done()
	})
	if calm {
		return
	}
	p.sleep(time.Duration(p.rng.IntN(2*int(p.timeoutMillis))) * time.Millisecond)
}

// write writes the records of a transaction. An error other than errFenced is why it is to be aborted.
func (p *producing) write(x *entry) error {
	targets := p.targets()
	if p.version == 1 {
		if err := p.add(targets); err != nil {
			return err
		}
	}
	for count := range int32(1 + p.rng.IntN(3)) {
		for _, to := range targets {
			if err := p.produce(x, to, count); err != nil {
				return err
			}
		}
	}
	if p.rng.IntN(3) == 0 {
		return p.commitOffsets(x)
	}
	return nil
}

// targets are some of the partitions that exist by what some node believes, one of those that stay among them.
func (p *producing) targets() (some []target) {
	var all []target
	p.world(func(done func()) {
		w := p.t.w
		all = p.t.layout.targets(w.nodes[w.rng.IntN(len(w.nodes))].image())
		done()
	})
	if len(all) == 0 {
		return nil // the world has ended
	}
	passing := all[len(all)-1]
	if passing.topic == passingTopic {
		all = all[:len(all)-1]
	}
	for _, i := range p.rng.Perm(len(all))[:1+p.rng.IntN(len(all))] {
		some = append(some, all[i])
	}
	if passing.topic == passingTopic && p.rng.IntN(2) == 0 {
		some = append(some, passing)
	}
	return some
}

// add is AddPartitionsToTxn, of version 1.
func (p *producing) add(targets []target) error {
	var list []txn.Partition
	for _, to := range targets {
		list = append(list, txn.Partition{Topic: to.topic, Number: to.number})
	}
	return p.addAll(list)
}

func (p *producing) addAll(list []txn.Partition) error {
	by := p.producer
	_, _, err := p.coordinate("add", false, func(s *services) given {
		if err := s.known(list); err != nil {
			return given{err: err}
		}
		return given{err: s.txns.AddPartitions(s.ctx, "default", p.name, by, list, 0, false)}
	})
	return err
}

// produce writes a record, and the same batch again until an answer says what became of it.
func (p *producing) produce(x *entry, to target, count int32) error {
	v := value{p.id, x.serial, count}
	p.world(func(done func()) { x.sent = append(x.sent, place{to.place, v}); done() })
	batch := &produced{transactionalID: p.name, producer: p.producer, sequence: p.sequences[to.place], target: to, value: v, adds: p.version == 2}
	err := p.insist(func() error {
		_, err := p.call(p.leaderOf(to.place), false, func(s *services, answer func(any)) { s.produce(batch, answer) })
		return err
	})
	if err == nil {
		p.sequences[to.place]++
	}
	return err
}

// insist tries something again while that may help.
func (p *producing) insist(attempt func() error) (err error) {
	for range maxAttempts {
		if err = attempt(); err == nil || !isRetriable(err) {
			return err
		}
		if p.rng.IntN(8) == 0 || err == kerr.RequestTimedOut && p.rng.IntN(2) == 0 {
			return err // the producer's patience has an end: delivery.timeout.ms
		}
		p.sleep(time.Duration(5+p.rng.IntN(60)) * time.Millisecond)
	}
	return err
}

// commitOffsets is TxnOffsetCommit, with AddOffsetsToTxn before it in version 1. One of version 1 that comes late is taken into the
// next transaction of its epoch, in Kafka as here, for it has no sequence; the network does not do that to it.
func (p *producing) commitOffsets(x *entry) error {
	if p.version == 1 {
		if err := p.addAll([]txn.Partition{{Topic: offsetsTopic, Number: 0}}); err != nil {
			return err
		}
	}
	by, adds := p.producer, p.version == 2
	err := p.insist(func() error {
		_, err := p.call(p.leaderOf(p.t.layout.offsets.first), p.version == 1, func(s *services, answer func(any)) {
			s.commitOffsets(p.name, by, adds, int64(x.serial), answer)
		})
		return err
	})
	if err == nil {
		p.world(func(done func()) { p.t.w.Stats.Offsets, x.offsets = p.t.w.Stats.Offsets+1, true; done() })
	}
	return err
}

// finish is EndTxn. What it was told of a commit is what the cluster is held to. One of version 1 that comes late ends the next
// transaction, in Kafka as here, and the network does not do that to it.
func (p *producing) finish(x *entry, commit, complete bool) (clean bool, err error) {
	by := p.producer
	var before txn.Producer
	p.world(func(done func()) {
		if before = p.t.ledger.latest[p.id]; commit {
			x.outcome = unknown
		}
		done()
	})
	next, certain, err := p.coordinate(fmt.Sprintf("end %v", commit), p.version == 1, func(s *services) given {
		producer, err := s.txns.EndTxn(s.ctx, "default", p.name, by, commit, int16(p.version))
		return given{producer, err}
	})
	p.world(func(done func()) {
		p.t.ledger.ended(p, x, commit, certain, err)
		if err == nil && p.version == 2 {
			p.t.ledger.given(p, "EndTxn", before, next)
		}
		done()
	})
	switch {
	case p.t.over():
		return false, errFenced
	case err != nil:
		return false, nil
	case p.version == 2:
		p.producer, p.sequences = next, map[int]int32{}
		return true, nil
	}
	return complete, nil
}
