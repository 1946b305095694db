package txn

import (
	"cmp"
	"container/heap"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

const (
	// retryPause is how long what the broker does by itself waits when it could not be written.
	retryPause = time.Second
	// maxExpiredPerStep bounds what one sweep writes; what is left is swept after sweepPause.
	maxExpiredPerStep = 5000
	sweepPause        = 50 * time.Millisecond
)

// watch sees to it that the transaction is looked at in time.
func (s *shard) watch(t *transaction) {
	at, ok := t.state.deadline()
	if ok && at.Before(t.retryAbort) {
		at = t.retryAbort
	}
	if t.unfinished != nil && (!ok || t.retryFinish.Before(at)) {
		at, ok = t.retryFinish, true
	}
	for _, h := range t.held {
		if !ok || h.until.Before(at) {
			at, ok = h.until, true
		}
	}
	if ok {
		s.alarms.schedule(t, at)
	} else {
		s.alarms.cancel(t)
	}
}

func (s *shard) tick(now time.Time, do *effects) {
	for t := s.alarms.popDue(now); t != nil; t = s.alarms.popDue(now) {
		s.ring(t, now, do)
	}
	if !s.resumeAt.IsZero() && !s.resumeAt.After(now) {
		s.resumeAt = time.Time{}
		s.resume(do)
	}
	if !s.sweepAt.IsZero() && !s.sweepAt.After(now) {
		s.sweep(now, do)
	}
}

// ring answers who has waited long enough, aborts the transaction if it took too long (Kafka looks every ten seconds), and ends
// it if that could not be written before.
func (s *shard) ring(t *transaction, now time.Time, do *effects) {
	t.held = slices.DeleteFunc(t.held, func(h held) bool {
		late := !h.until.After(now)
		if late {
			do.replyNow(h.ticket, refused{kerr.ConcurrentTransactions})
		}
		return late
	})
	if at, ok := t.state.deadline(); ok && !at.After(now) && !t.retryAbort.After(now) {
		t.retryAbort = now.Add(retryPause)
		next := t.state.fenced(s.settings().Version, now)
		s.write(t, t.state, next, do)
		if t.timedOut != at { // it is tried until it can be written
			t.timedOut = at
			s.figures.timeouts++
			do.note("transaction timed out", t, next)
		}
	}
	if c := t.unfinished; c != nil && !t.retryFinish.After(now) {
		s.complete(*c, now, do)
	}
	s.watch(t)
}

// resume takes up the decisions that an earlier coordinator left without a completion.
func (s *shard) resume(do *effects) {
	for _, t := range s.sorted() {
		if t.state.isPrepared() {
			do.then(prepared{t.key, Producer{t.state.producerID, t.state.epoch}})
		}
	}
}

// sweep forgets ids that nobody has used for long.
func (s *shard) sweep(now time.Time, do *effects) {
	settings := s.settings()
	do.Divisible = true
	s.sweepAt = now.Add(millis(settings.IDExpirationCheckMillis))
	written := 0
	for _, t := range s.sorted() {
		if !t.state.isIdle() || now.UnixMilli()-t.state.updateMillis < settings.IDExpirationMillis {
			continue
		}
		if written == maxExpiredPerStep {
			s.sweepAt = now.Add(sweepPause)
			break
		}
		do.Records = append(do.Records, tombstone(t.key))
		s.figures.expired++
		written++
	}
}

// sorted returns the transactions in an order that does not depend on the map's.
func (s *shard) sorted() []*transaction {
	all := make([]*transaction, 0, len(s.transactions))
	for _, t := range s.transactions {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *transaction) int {
		return cmp.Or(strings.Compare(a.key.tenant, b.key.tenant), strings.Compare(a.key.id, b.key.id))
	})
	return all
}

// alarm is when a transaction wants to be looked at.
type alarm struct {
	at    time.Time
	index int // in the heap; -1: not scheduled
}

// alarms is a heap of transactions by their alarms.
type alarms struct{ heap alarmHeap }

func (a *alarms) schedule(t *transaction, at time.Time) {
	t.alarm.at = at
	if t.alarm.index >= 0 {
		heap.Fix(&a.heap, t.alarm.index)
	} else {
		heap.Push(&a.heap, t)
	}
}

func (a *alarms) cancel(t *transaction) {
	if t.alarm.index >= 0 {
		heap.Remove(&a.heap, t.alarm.index)
	}
}

func (a *alarms) next() (time.Time, bool) {
	if len(a.heap) == 0 {
		return time.Time{}, false
	}
	return a.heap[0].alarm.at, true
}

// popDue takes the transaction with the earliest alarm if that is due.
func (a *alarms) popDue(now time.Time) *transaction {
	if len(a.heap) == 0 || a.heap[0].alarm.at.After(now) {
		return nil
	}
	return heap.Pop(&a.heap).(*transaction)
}

type alarmHeap []*transaction

func (h alarmHeap) Len() int           { return len(h) }
func (h alarmHeap) Less(i, j int) bool { return h[i].alarm.at.Before(h[j].alarm.at) }
func (h alarmHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].alarm.index, h[j].alarm.index = i, j
}

func (h *alarmHeap) Push(x any) {
	t := x.(*transaction)
	t.alarm.index = len(*h)
	*h = append(*h, t)
}

func (h *alarmHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.alarm.index = -1
	return t
}
