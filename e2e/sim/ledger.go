package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	wire "github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/txn"
)

// fate is what a producer knows of its transaction.
type fate int8

const (
	aborted   fate = iota // no commit was asked for, or it was refused
	unknown               // a commit was asked for, and nobody said what became of it
	committed             // it was answered as committed
)

func (f fate) String() string { return [...]string{"aborted", "unknown", "committed"}[f] }

// entry is a transaction as its producer saw it.
type entry struct {
	id, serial int32
	by         string  // the instance and its producer
	sent       []place // records that were sent; all were acknowledged when a commit was asked for
	offsets    bool    // offsets were committed in it
	outcome    fate
}

// place is a record and the partition that it was sent to.
type place struct {
	partition int // by its place among all
	value     value
}

// ledger is what producers did and were told, and what readers were shown. It holds the cluster to this, at once where that
// can be:
//
//   - a transaction that was answered as committed is wholly visible to a read_committed reader, one that was aborted or
//     abandoned never, and one of unknown outcome wholly or not at all, on all its partitions;
//   - the records of a transactional id are visible in the order in which they were written, each once;
//   - what a reader was shown stays, and is all that there is up to there;
//   - the epochs that the producers of a transactional id are given rise, and none is given to two;
//   - in the end no transaction hangs: the last stable offset is the high watermark, and the state of every coordinator is the
//     last one in its log.
type ledger struct {
	t           *transactions
	instances   []int32 // by transactional id
	entries     [][]*entry
	latest      []txn.Producer // that an answer named
	owners      map[txn.Producer]string
	running     []int // instances, by transactional id
	calmCommits []int
	shown       []shown // by partition of the data
}

// shown is what read_committed readers were shown of a partition.
type shown struct {
	end    int64 // up to here
	values []value
}

func newLedger(t *transactions) *ledger {
	l := &ledger{
		t: t, instances: make([]int32, idCount), entries: make([][]*entry, idCount), latest: make([]txn.Producer, idCount),
		owners: map[txn.Producer]string{}, calmCommits: make([]int, idCount), running: make([]int, idCount), shown: make([]shown, t.layout.partitions()),
	}
	for i := range l.latest {
		l.latest[i] = txn.Producer{ID: -1, Epoch: -1}
	}
	return l
}

func (l *ledger) instance(id int32) int32 {
	l.running[id]++
	l.instances[id]++
	return l.instances[id]
}

// begin makes the entry of a transaction.
func (l *ledger) begin(p *producing) *entry {
	x := &entry{id: p.id, serial: int32(len(l.entries[p.id])), by: fmt.Sprintf("instance %d as %d/%d", p.instance, p.producer.ID, p.producer.Epoch)}
	l.entries[p.id] = append(l.entries[p.id], x)
	l.t.w.Stats.Transactions++
	return x
}

// ended notes the answer to EndTxn.
func (l *ledger) ended(p *producing, x *entry, commit, certain bool, err error) {
	l.t.w.note("%s.%d of %s: commit %v of %d answered %v, certain %v", p.name, p.instance, x.by, commit, x.serial, err, certain)
	switch {
	case commit && err == nil:
		x.outcome = committed
		l.t.w.Stats.Commits++
		if l.t.w.calm {
			l.calmCommits[p.id]++
		}
	case commit && certain && !isRetriable(err):
		x.outcome = aborted
		l.t.w.Stats.Refusals++
	case commit:
		l.t.w.Stats.Unknown++
	case err == nil:
		l.t.w.Stats.Aborts++
	}
}

// given holds an epoch that a producer was given against those before: latest is what had been given when it asked.
func (l *ledger) given(p *producing, by string, before, now txn.Producer) {
	me := fmt.Sprintf("%s.%d", p.name, p.instance)
	l.t.w.note("%s is given %d/%d by %s", me, now.ID, now.Epoch, by)
	if now.ID < before.ID || now.ID == before.ID && now.Epoch <= before.Epoch {
		l.t.w.violate("epoch went back: %s gave %d/%d to %s, and %d/%d had been given before", by, now.ID, now.Epoch, me, before.ID, before.Epoch)
	}
	if now.ID != before.ID && before.ID >= 0 {
		if before.Epoch >= lastClientEpoch {
			l.t.w.Stats.Exhausted++
		} else {
			l.t.w.Stats.Expired++
		}
	}
	if other, taken := l.owners[now]; taken && other != me {
		l.t.w.violate("epoch given twice: %s gave %d/%d to %s, which is that of %s", by, now.ID, now.Epoch, me, other)
	}
	l.owners[now] = me
	if latest := &l.latest[p.id]; now.ID > latest.ID || now.ID == latest.ID && now.Epoch > latest.Epoch {
		*latest = now
	}
}

// read lets a read_committed reader read on from where the last one ended, at whoever leads.
func (l *ledger) read() {
	w := l.t.w
	w.at(w.between(10*time.Millisecond, 80*time.Millisecond), l.read)
	places := l.t.layout.readable()
	partition := places[w.rng.IntN(len(places))]
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	if !n.up || n.paused || !n.serves() {
		return
	}
	leading := n.roles[partition].leading
	if leading == nil || !leading.core.Known() {
		return
	}
	l.readFrom(partition, leading)
}

func (l *ledger) readFrom(partition int, leading *leadership) {
	end := leading.core.HighWatermark()
	if !l.t.w.is(ReadsUndecided) {
		end = min(end, leading.log.real.LastStableOffset())
	}
	s := &l.shown[partition]
	if end <= s.end {
		return
	}
	s.values = append(s.values, l.visible(leading.log, s.end, end)...)
	l.t.w.Stats.Read += int(end - s.end)
	s.end = end
}

// visible is what a read_committed consumer makes of a stretch of a log, as Kafka's consumer does: from the list of aborted
// transactions that comes with the records.
func (l *ledger) visible(log *plog, from, to int64) (values []value) {
	skipped := log.real.AbortedTransactions(from, to)
	aborting := map[int64]bool{}
	for _, b := range log.batches(l.t.w, from, to) {
		skipped = slices.DeleteFunc(skipped, func(a wireAborted) bool {
			begun := a.FirstOffset <= b.LastOffset()
			aborting[a.ProducerID] = aborting[a.ProducerID] || begun
			return begun
		})
		if b.Attributes().IsControl() {
			delete(aborting, b.ProducerID())
			continue
		}
		if b.Attributes().IsTransactional() && aborting[b.ProducerID()] {
			continue
		}
		for r := range b.Records(&wire.Decompressor{}) {
			values = append(values, decodeValue(r.Value))
		}
	}
	return values
}

// open says what is not decided yet: transactions of producers that are gone end by their timeouts.
func (l *ledger) open() string {
	for place := range l.t.w.cfg.Partitions {
		if l.t.isGone(place) {
			continue
		}
		leading := l.t.w.leading(place)
		if leading == nil {
			return fmt.Sprintf("partition %d has no leader", place)
		}
		end := leading.log.end()
		if stable := leading.log.real.LastStableOffset(); leading.core.HighWatermark() < end || stable < end {
			return fmt.Sprintf("partition %d ends at %d, its high watermark is %d and its last stable offset %d: a transaction hangs", place, end, leading.core.HighWatermark(), stable)
		}
	}
	for id, s := range l.states() {
		if s.State == kmsg.TransactionStateOngoing || s.State == kmsg.TransactionStatePrepareCommit || s.State == kmsg.TransactionStatePrepareAbort {
			return fmt.Sprintf("the log of the coordinator says that %s is %v", id, s.State)
		}
	}
	return ""
}

// leading is the leadership of a partition by the newest image.
func (w *World) leading(place int) *leadership {
	n := w.node(partitionOf(w.meta.newest(), w.meta.topic, place).Leader)
	if n == nil || !n.up || n.services == nil {
		return nil
	}
	return n.roles[place].leading
}

// states is the last state of each transactional id in the logs of the coordinators.
func (l *ledger) states() map[string]*kmsg.TxnMetadataValue {
	all := map[string]*kmsg.TxnMetadataValue{}
	for number := range int(l.t.layout.states.count) {
		leading := l.t.w.leading(l.t.layout.states.first + number)
		for _, b := range leading.log.batches(l.t.w, 0, leading.log.end()) {
			for r := range b.Records(&wire.Decompressor{}) {
				k, v := kmsg.NewTxnMetadataKey(), kmsg.NewTxnMetadataValue()
				if err := k.ReadFrom(r.Key); err != nil {
					l.t.w.violate("a key of a coordinator's log cannot be read: %v", err)
				}
				if len(r.Value) == 0 {
					delete(all, k.TransactionalID)
					continue
				}
				if err := v.ReadFrom(r.Value); err != nil {
					l.t.w.violate("a state in a coordinator's log cannot be read: %v", err)
				}
				all[k.TransactionalID] = &v
			}
		}
	}
	return all
}
