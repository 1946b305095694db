package sim

import (
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/replica/isr"
	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
)

// leadership is a node leading one partition in one leader epoch: the shell around isr.Leader.
type leadership struct {
	n         *node
	partition int
	log       *plog
	core      *isr.Leader
	produced  []waiter // who waits for the high watermark, by offset
	fetches   []*fetch // who waits for records
}

// waiter is a producer that waits for acks=all.
type waiter struct {
	offset int64
	answer func(any)
}

// fetch is a follower's request, and where its answer goes.
type fetch struct {
	from        int32
	brokerEpoch int64
	leaderEpoch int32
	offset      int64
	lastEpoch   int32
	watermark   int64 // that the follower knows
	answer      func(any)
}

// fetched is the answer: an error, a divergence, or records.
type fetched struct {
	err       error
	diverging *isr.EpochEnd
	reset     bool // the offset lies outside of the log: start and end say what there is
	records   []record
	end       int64
	watermark int64
}

// maxFetch bounds how many records an answer has.
const maxFetch = 20

func (n *node) settings() isr.Settings {
	return isr.Settings{MinInSyncReplicas: 2, MaxLag: n.w.maxLag}
}

// lead begins a leadership.
func (n *node) lead(partition int, state isr.State) *leadership {
	log := n.logs[partition]
	l := &leadership{n: n, partition: partition, log: log}
	watermark := int64(log.watermark)
	if n.w.is(CommitsOnElection) {
		watermark = log.end()
	}
	l.core = isr.Lead(isr.Start{
		Self: n.id, State: state, Settings: n.settings(), LogEnd: log.end(), Held: l.holds(), HighWatermark: watermark, Now: n.wall(),
	})
	n.w.Stats.Elections++
	n.w.note("node %d leads %d in epoch %d: log end %d, high watermark %d", n.id, partition, state.LeaderEpoch, log.end(), l.core.HighWatermark())
	n.w.oracle.elected(l, state)
	l.flush()
	l.advanced()
	return l
}

// holds is what the leader's own disk has.
func (l *leadership) holds() int64 {
	if l.n.w.is(LeaderHoldsUnflushed) {
		return l.log.end()
	}
	return int64(l.log.flushed)
}

// current says whether the leadership goes on: what was started in it may end after it.
func (l *leadership) current() bool { return l.n.roles[l.partition].leading == l }

// ended tells everybody who waits that this broker leads no more; their records may be committed nevertheless.
func (l *leadership) ended() {
	for _, p := range l.produced {
		p.answer(kerr.NotLeaderForPartition)
	}
	for _, f := range l.fetches {
		f.answer(fetched{err: kerr.NotLeaderForPartition})
	}
}

// produce appends a value; the answer is its offset, or an error.
func (l *leadership) produce(value int, answer func(any)) {
	if !l.core.EnoughInSync() {
		answer(kerr.NotEnoughReplicas)
		return
	}
	offset := l.log.end()
	l.log.append(record{value: value, epoch: l.core.Epoch()})
	if l.n.w.is(AcksOnAppend) {
		answer(offset)
	} else {
		l.produced = append(l.produced, waiter{offset, answer})
	}
	if l.n.w.is(LeaderHoldsUnflushed) && l.core.Held(l.log.end()) {
		l.advanced()
	}
	l.flush()
	l.serve()
}

// flush is one group commit: what the log had when it began is durable when it ends.
func (l *leadership) flush() {
	if l.log.flushToken > 0 || l.log.flushed == len(l.log.records) {
		return
	}
	l.log.flushToken++
	log, end := l.log, len(l.log.records)
	l.n.w.on(l.n, l.n.w.between(500*time.Microsecond, 6*time.Millisecond), func() {
		log.flushToken = 0
		log.sync(l.n.w)
		log.flushed = max(log.flushed, min(end, len(log.records)))
		if !l.current() {
			return
		}
		l.flush()
		if l.core.Held(l.holds()) {
			l.advanced()
		}
	})
}

// advanced acknowledges what is committed now, and lets followers know.
func (l *leadership) advanced() {
	watermark := l.core.HighWatermark()
	if l.n.w.is(WatermarkFromISROnly) {
		watermark = int64(l.log.flushed)
	}
	l.n.w.oracle.committed(l, watermark)
	if l.log.real != nil {
		l.log.real.SetHighWatermark(min(watermark, l.log.end()))
	}
	for len(l.produced) > 0 && l.produced[0].offset < watermark {
		l.produced[0].answer(l.produced[0].offset)
		l.produced = l.produced[1:]
	}
	l.serve()
}

// handle takes a follower's fetch.
func (l *leadership) handle(f *fetch) {
	w := l.n.w
	switch {
	case f.leaderEpoch < l.core.Epoch():
		f.answer(fetched{err: kerr.FencedLeaderEpoch})
		return
	case f.leaderEpoch > l.core.Epoch():
		f.answer(fetched{err: kerr.UnknownLeaderEpoch})
		return
	}
	if f.offset > l.log.end() && (f.lastEpoch < 0 || w.is(IgnoresDivergence)) {
		f.answer(fetched{reset: true, end: l.log.end()})
		return
	}
	if f.lastEpoch >= 0 && !w.is(IgnoresDivergence) {
		end := l.log.endOf(f.lastEpoch)
		if end.Epoch < f.lastEpoch || end.EndOffset < f.offset {
			f.answer(fetched{diverging: &end})
			return
		}
	}
	advanced, propose, err := l.core.Fetched(isr.Fetch{ID: f.from, BrokerEpoch: f.brokerEpoch, Offset: f.offset}, l.log.end(), l.n.wall(), l.n.brokers)
	if err != nil {
		f.answer(fetched{err: err})
		return
	}
	l.fetches = append(l.fetches, f)
	if advanced {
		l.advanced()
	}
	if propose {
		l.propose()
	}
	l.serve()
	w.on(l.n, 300*time.Millisecond, func() { l.expire(f) })
}

// serve answers whom there is something for: records, or a high watermark that they do not know.
func (l *leadership) serve() {
	l.fetches = slices.DeleteFunc(l.fetches, func(f *fetch) bool {
		if f.offset >= l.log.end() && f.watermark >= min(l.core.HighWatermark(), f.offset) {
			return false
		}
		f.answer(l.records(f))
		return true
	})
}

func (l *leadership) expire(f *fetch) {
	if i := slices.Index(l.fetches, f); i >= 0 {
		l.fetches = slices.Delete(l.fetches, i, i+1)
		f.answer(l.records(f))
	}
}

func (l *leadership) records(f *fetch) fetched {
	last := l.log.boundary(min(l.log.end(), f.offset+maxFetch))
	return fetched{records: slices.Clone(l.log.records[min(f.offset, last):last]), end: l.log.end(), watermark: l.core.HighWatermark()}
}

func (l *leadership) tick() {
	advanced, propose := l.core.Tick(l.log.end(), l.n.wall(), l.n.brokers)
	if advanced {
		l.advanced()
	}
	if propose {
		l.propose()
	}
}

// propose asks the controller for another in-sync set.
func (l *leadership) propose() {
	if l.n.epoch == 0 {
		return
	}
	p, ok := l.core.Propose(l.n.epoch, l.log.end(), l.n.wall(), l.n.brokers)
	if !ok {
		return
	}
	if len(p.ISR) > len(l.core.ISR()) && l.n.w.is(NeverExpands) {
		l.core.Abandon()
		return
	}
	l.ask(p)
}

func (l *leadership) ask(p isr.Proposal) {
	again := func() {
		l.n.w.on(l.n, l.n.w.between(20*time.Millisecond, 100*time.Millisecond), func() { l.askAgain(p) })
	}
	at := l.n.w.node(l.n.w.meta.leader)
	if at == nil {
		again()
		return
	}
	change := controller.ISRChange{TopicID: l.n.w.meta.topic, Partition: int32(l.partition), LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch, RecoveryState: image.Recovered}
	for _, m := range p.ISR {
		change.ISR = append(change.ISR, controller.ISRMember{ID: m.ID, BrokerEpoch: m.BrokerEpoch})
	}
	epoch := l.n.epoch
	l.n.w.call(l.n, at, 300*time.Millisecond, func(answer func(any)) { l.n.w.meta.alter(at, l.n.id, epoch, change, answer) }, func(answer any, ok bool) {
		if !l.current() {
			return
		}
		state, err := outcome(answer, ok)
		if !ok && l.n.w.is(TakesSilenceForRefusal) {
			l.core.Abandon()
			return
		}
		advanced, retry := l.core.Answered(p, state, err, l.n.wall())
		if advanced {
			l.advanced()
		}
		if retry {
			again()
		}
	})
}

func (l *leadership) askAgain(p isr.Proposal) {
	if pending, ok := l.core.Pending(); l.current() && ok && pending.PartitionEpoch == p.PartitionEpoch {
		l.ask(p)
	}
}

// outcome reads the answer to a proposal.
func outcome(answer any, ok bool) (isr.State, error) {
	switch a := answer.(type) {
	case controller.ISROutcome:
		if a.Err != nil {
			return isr.State{}, a.Err
		}
		return isr.State{LeaderEpoch: a.LeaderEpoch, PartitionEpoch: a.PartitionEpoch, ISR: a.ISR, Recovering: a.RecoveryState == image.Recovering}, nil
	case error:
		return isr.State{}, a
	}
	if !ok {
		return isr.State{}, kerr.RequestTimedOut
	}
	return isr.State{}, errors.New("no answer")
}
