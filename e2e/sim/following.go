package sim

import (
	"time"

	"github.com/millrace-io/millrace/broker/replica/isr"
)

// follow is a node following one partition in one leader epoch: the shell around isr.Follower, one fetch at a time.
type follow struct {
	n         *node
	partition int
	log       *plog
	leader    int32
	core      *isr.Follower
}

// followLeader begins a following; without a leader it waits for the next.
func (n *node) followLeader(partition int, leader, epoch int32) *follow {
	log := n.logs[partition]
	f := &follow{n: n, partition: partition, log: log, leader: leader, core: &isr.Follower{Epoch: epoch, HighWatermark: min(int64(log.watermark), log.end())}}
	if leader > 0 {
		n.w.on(n, n.w.between(0, 3*time.Millisecond), f.next)
	}
	return f
}

func (f *follow) current() bool { return f.n.roles[f.partition].following == f }

// next asks for more, once everything that the log has is durable: what is asked for says what is held.
func (f *follow) next() {
	switch {
	case !f.current():
	case f.log.flushed < len(f.log.records) && !f.n.w.is(FollowerAsksUnflushed):
		f.flush()
	case f.n.epoch == 0:
		f.later()
	default:
		f.ask()
	}
}

func (f *follow) later() {
	f.n.w.on(f.n, f.n.w.between(10*time.Millisecond, 60*time.Millisecond), f.next)
}

func (f *follow) flush() {
	end := len(f.log.records)
	f.n.w.on(f.n, f.n.w.between(500*time.Microsecond, 6*time.Millisecond), func() {
		if f.current() {
			f.log.sync(f.n.w)
			f.log.flushed = max(f.log.flushed, min(end, len(f.log.records)))
			f.next()
		}
	})
}

func (f *follow) ask() { f.askAs(f.log.lastEpoch()) }

func (f *follow) askAs(lastEpoch int32) {
	leader := f.n.w.node(f.leader)
	request := &fetch{from: f.n.id, brokerEpoch: f.n.epoch, leaderEpoch: f.core.Epoch, offset: f.log.end(), lastEpoch: lastEpoch, watermark: f.core.HighWatermark}
	f.n.w.call(f.n, leader, 600*time.Millisecond, func(answer func(any)) {
		own := *request
		own.answer = func(v any) { answer(v) }
		if l := leader.roles[f.partition].leading; l != nil {
			l.handle(&own)
			return
		}
		answer(fetched{err: errNotLeader})
	}, func(answer any, ok bool) {
		if f.current() {
			f.got(request, answer, ok)
		}
	})
}

// got takes an answer in: records, or where the logs part.
func (f *follow) got(request *fetch, answer any, ok bool) {
	a, _ := answer.(fetched)
	switch {
	case !ok || a.err != nil:
		f.later()
	case a.reset:
		if r := isr.OutOfRange(f.log.end(), 0, a.end); r.Truncate {
			f.truncate(r.Offset)
		}
		f.next()
	case a.diverging != nil && f.n.w.is(AppendsAnyway):
		f.askAs(a.diverging.Epoch)
	case a.diverging != nil:
		cut := isr.Cut(*a.diverging, f.log.endOf(a.diverging.Epoch), f.log.end())
		if f.n.w.is(TruncatesToWatermark) {
			cut = min(f.core.HighWatermark, f.log.end())
			if cut == f.log.end() && cut > 0 {
				cut--
			}
		}
		f.truncate(cut)
		f.next()
	case request.offset != f.log.end():
		f.next()
	default:
		f.log.append(a.records...)
		f.log.appendFetched(f.n.w, a.records)
		f.core.Told(a.watermark, 0, f.log.end())
		if f.log.real != nil {
			f.log.real.SetHighWatermark(f.core.HighWatermark)
		}
		f.n.w.oracle.followed(f)
		f.next()
	}
}

func (f *follow) truncate(end int64) {
	f.n.w.Stats.Truncations++
	f.n.w.note("node %d cuts %d from %d to %d", f.n.id, f.partition, f.log.end(), end)
	f.n.w.oracle.cut(f, end)
	f.log.truncate(end)
	f.log.truncateReal(f.n.w)
	f.core.Truncated(end)
}
