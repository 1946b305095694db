package txn

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"pgregory.net/rapid"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// TestAnyConversationKeepsTheInvariants throws random requests, waits, refused, late and lost writes, and moves of the
// coordinator at a shard. After each step the log and the shard agree, and the log tells a history that transactions may have.
func TestAnyConversationKeepsTheInvariants(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld()
		w.settings.IDExpirationMillis, w.settings.IDExpirationCheckMillis = 60_000, 20_000
		w.settings.CompletionLingerMillis = rapid.SampledFrom([]int32{0, 50}).Draw(rt, "linger")
		m := &model{w: w, epoch: 1, given: map[key]map[Producer]bool{}}
		w.sent = func(j Job) { m.checkSent(rt, j) }
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			m.step(rt, t)
			m.check(rt)
		}
		w.run(t, "log ok")
		w.run(t, "release")
		for range 4 { // what times out on the way is decided, too
			w.advance(time.Second)
			w.run(t, "deliver")
		}
		w.advance(time.Second)
		m.check(rt)
		for ticket, a := range w.asking {
			rt.Fatalf("%s still waits with ticket %d", a.who, ticket)
		}
		for k, x := range w.shard.transactions {
			if x.state.isPrepared() {
				rt.Fatalf("%v is %v for ever", k, x.state.status)
			}
		}
	})
}

// model watches a world.
type model struct {
	w       *world
	epoch   int32                     // of the coordinator
	checked int                       // so many records were looked at
	states  map[key]state             // after them
	given   map[key]map[Producer]bool // who was told that it is the producer
}

func (m *model) step(rt *rapid.T, t *testing.T) {
	w := m.w
	id := rapid.SampledFrom([]string{"t", "u"}).Draw(rt, "id")
	as := m.someProducer(rt, key{defaultTenant, id})
	version := rapid.SampledFrom([]int{0, 2, 2}).Draw(rt, "version")
	kind := rapid.IntRange(0, 17).Draw(rt, "kind")
	switch {
	case kind < 2:
		m.init(rt, t, id, "-1/-1")
	case kind == 2:
		m.init(rt, t, id, as)
	case kind < 7:
		w.run(t, fmt.Sprintf("x: add id=%s as=%s v=%d partitions=%s", id, as, version, rapid.SampledFrom([]string{"a-0", "a-1,b-0", "b-0"}).Draw(rt, "partitions")))
	case kind < 11:
		w.run(t, fmt.Sprintf("x: %s id=%s as=%s v=%d", rapid.SampledFrom([]string{"commit", "abort"}).Draw(rt, "decision"), id, as, version))
	case kind == 11:
		w.run(t, fmt.Sprintf("x: verify id=%s as=%s partitions=a-0,b-0", id, as))
	case kind < 14:
		w.run(t, "deliver")
	case kind == 14:
		w.run(t, rapid.SampledFrom([]string{"log ok", "log slow", "log fail=KAFKA_STORAGE_ERROR", "release", "timeout", "lost"}).Draw(rt, "log"))
	case kind == 15:
		w.advance(time.Duration(rapid.IntRange(1, 2_000).Draw(rt, "wait")) * time.Millisecond)
	case kind == 16:
		m.epoch++
		loses := rapid.SampledFrom([]string{"", " loses=yes"}).Draw(rt, "loses")
		if loses != "" {
			m.checked, m.states = 0, nil // what was lost was never a history
		}
		w.run(t, fmt.Sprintf("elect epoch=%d%s", m.epoch, loses))
	case kind == 17:
		if x := w.shard.transactions[key{defaultTenant, id}]; x != nil && x.state.isIdle() && w.failing == nil && !w.pending {
			w.run(t, "exhaust id="+id)
			w.safe = len(w.log)
			m.checked, m.states = 0, nil
		}
	}
}

// someProducer is one that was, or nearly was, given the id.
func (m *model) someProducer(rt *rapid.T, k key) string {
	p := Producer{100, 0}
	if x := m.w.shard.transactions[k]; x != nil {
		p = Producer{x.state.producerID, x.state.epoch}
	}
	back := rapid.SampledFrom([]int{0, 0, 0, 0, 1, 1, 2}).Draw(rt, "back")
	return fmt.Sprintf("%d/%d", p.ID, max(int(p.Epoch)-back, 0))
}

// init holds that nobody is given what another one was given, except for who asks again.
func (m *model) init(rt *rapid.T, t *testing.T, id, as string) {
	k := key{defaultTenant, id}
	for _, line := range m.w.run(t, fmt.Sprintf("new: init id=%s as=%s timeout=1500", id, as)) {
		var p Producer
		if _, err := fmt.Sscanf(line, "new: %d/%d", &p.ID, &p.Epoch); err != nil {
			continue
		}
		if m.given[k] == nil {
			m.given[k] = map[Producer]bool{}
		}
		if m.given[k][p] && as == "-1/-1" {
			rt.Fatalf("%v is given to two", p)
		}
		m.given[k][p] = true
	}
}

func (m *model) check(rt *rapid.T) {
	if err := m.w.checkReplay(); err != nil {
		rt.Fatal(err)
	}
	m.checked = min(m.checked, len(m.w.log))
	m.states = m.replayed(rt)
	m.checked = len(m.w.log)
	waiting := map[coordinator.Ticket]bool{}
	for _, r := range m.w.parked {
		for _, reply := range r.Replies {
			waiting[reply.Ticket] = true
		}
	}
	var counts [statusCount]int64
	for _, x := range m.w.shard.transactions {
		counts[x.state.status]++
		for _, h := range x.held {
			waiting[h.ticket] = true
		}
		if _, open := x.state.deadline(); (open || len(x.held) > 0) && x.alarm.index < 0 {
			rt.Fatalf("nobody looks after %v", x.key)
		}
	}
	if counts != m.w.shard.figures.transactions {
		rt.Fatalf("figures say %v, there are %v", m.w.shard.figures.transactions, counts)
	}
	for ticket := range m.w.asking {
		if !waiting[ticket] {
			rt.Fatalf("ticket %d is forgotten", ticket)
		}
	}
}

// replayed follows the records that are new, each of which must be a step that a transaction can make.
func (m *model) replayed(rt *rapid.T) map[key]state {
	states := m.states
	if states == nil {
		states = map[key]state{}
	}
	for _, r := range m.w.log[m.checked:] {
		k, _, err := parseKey(r.Key)
		if err != nil {
			rt.Fatal(err)
		}
		before, had := states[k]
		if r.Value == nil {
			if had && !before.isIdle() {
				rt.Fatalf("%v was forgotten in %v", k, before.status)
			}
			delete(states, k)
			continue
		}
		next, err := parseState(r.Value)
		if err != nil {
			rt.Fatal(err)
		}
		if had && !follows(before, next) {
			rt.Fatalf("%+v became %+v", before, next)
		}
		states[k] = next
	}
	return states
}

// follows says which states may come after which.
func follows(before, next state) bool {
	sameProducer := before.producerID == next.producerID
	if before.status == next.status && before.epoch > lastClientEpoch && before.isIdle() && !sameProducer && next.epoch == 0 {
		return true // the producer asked again for an end that left it no epoch to go on with (endRequest.again)
	}
	switch next.status {
	case empty:
		toldAgain := sameProducer && next.epoch == before.epoch && before.lastEpoch != noEpoch && next.lastEpoch == before.lastEpoch
		return before.isIdle() && (toldAgain || sameProducer && int(next.epoch) == int(before.epoch)+1 || !sameProducer && next.epoch == 0 || next.epoch == lastClientEpoch)
	case ongoing:
		return sameProducer && next.epoch == before.epoch && (before.isIdle() || before.status == ongoing && containsAll(next.partitions, before.partitions))
	case prepareCommit:
		return sameProducer && before.status == ongoing && next.epoch >= before.epoch && int(next.epoch) <= int(before.epoch)+1
	case prepareAbort:
		return sameProducer && !before.isPrepared() && next.epoch >= before.epoch && int(next.epoch) <= int(before.epoch)+1
	case completeCommit:
		return next.epoch == lastClientEpoch && before.isIdle() || before.status == prepareCommit && len(next.partitions) == 0 && (sameProducer || next.producerID == before.nextProducerID)
	case completeAbort:
		return next.epoch == lastClientEpoch && before.isIdle() || before.status == prepareAbort && len(next.partitions) == 0 && (sameProducer || next.producerID == before.nextProducerID)
	}
	return false
}

// checkSent holds that markers are sent of what is committed, by the coordinator that is.
func (m *model) checkSent(rt *rapid.T, j Job) {
	if j.CoordinatorEpoch != m.epoch {
		rt.Fatalf("sent in epoch %d, the coordinator's is %d", j.CoordinatorEpoch, m.epoch)
	}
	var last *state
	for _, r := range m.w.log[:m.w.safe] {
		if k, _, _ := parseKey(r.Key); k == j.key && r.Value != nil {
			s, err := parseState(r.Value)
			if err != nil {
				rt.Fatal(err)
			}
			last = &s
		}
	}
	want := prepareAbort
	if j.Commit {
		want = prepareCommit
	}
	if last == nil || last.status != want || last.producerID != j.Producer.ID || last.epoch != j.Producer.Epoch {
		rt.Fatalf("sent %s, of which the log knows %+v", showJob(j), last)
	}
}

// TestWhoWaitsIsBounded: however many ask while a transaction is being completed, only so many are kept waiting.
func TestWhoWaitsIsBounded(t *testing.T) {
	w := newWorld()
	for _, command := range []string{"x: init", "x: add as=100/0 partitions=a-0", "x: commit as=100/0"} {
		w.run(t, command)
	}
	for range maxHeld {
		if said := w.run(t, "x: add as=100/1 partitions=a-0"); len(said) > 0 {
			t.Fatalf("answered: %v", said)
		}
	}
	if said := w.run(t, "x: add as=100/1 partitions=a-0"); len(said) != 1 || said[0] != "x: "+kerr.ConcurrentTransactions.Message {
		t.Errorf("one more: %v", said)
	}
	if said := w.run(t, "deliver"); len(said) != maxHeld+2 {
		t.Errorf("%d lines: %v", len(said), said)
	}
}
