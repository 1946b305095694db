package share

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/broker/share/delivery"
)

// FetchRequest is what a member wants.
type FetchRequest struct {
	MaxWait    time.Duration
	MaxBytes   int
	MaxRecords int64
	BatchSize  int64 // ranges of the answer are cut at batches, once they are so long (KIP-1206)
	Strict     bool  // MaxRecords is exact
	// Find returns the replica of a partition, or why its consumer gets nothing.
	Find func(tp TopicPartition) (*replica.Partition, *kerr.Error)
}

// Fetched is what a partition has for a member.
type Fetched struct {
	TopicPartition
	Fault    *kerr.Error
	Records  []byte
	Acquired []delivery.Batch
}

// Fetch acquires records of a session's partitions. It waits for the first; a fault of a partition is told at once.
func (m *Manager) Fetch(ctx context.Context, s *Session, r FetchRequest) []Fetched {
	f := &fetch{m: m, s: s, r: r, waiter: replica.NewWaiter()}
	f.r.MaxBytes = min(max(r.MaxBytes, 1), maxAnswerBytes)
	ctx, cancel := context.WithTimeout(ctx, r.MaxWait)
	defer cancel()
	if r.MaxRecords > 0 {
		f.resolve()
		f.run(ctx)
	}
	return f.answer()
}

// fetch is one request while it is worked on.
type fetch struct {
	m      *Manager
	s      *Session
	r      FetchRequest
	waiter *replica.Waiter

	targets []target
	bytes   int
	records int64
}

type target struct {
	Fetched
	replica *replica.Partition
	share   *partition
	watch   replica.Watch
	watched bool
	// silent says that its state cannot be had now: the member gets nothing of it and asks again. Clients have no use for such an
	// error, Java's even fails over it.
	silent bool
}

// resolve finds the partitions of the session. Each request begins with another one, so that all have their turn.
func (f *fetch) resolve() {
	f.s.mu.Lock()
	n := len(f.s.partitions)
	f.targets = make([]target, n)
	for i := range n {
		f.targets[i].TopicPartition = f.s.partitions[(i+int(f.s.epoch))%n].TopicPartition
	}
	f.s.mu.Unlock()
	for i := range f.targets {
		t := &f.targets[i]
		if t.replica, t.Fault = f.r.Find(t.TopicPartition); t.Fault == nil {
			t.share, t.Fault = f.m.obtain(f.s, f.s.keyOf(t.TopicPartition), t.replica)
			t.hush()
		}
	}
}

// hush keeps to itself what passes with time.
func (t *target) hush() {
	if t.Fault == kerr.CoordinatorNotAvailable || t.Fault == kerr.ShareSessionNotFound {
		t.Fault, t.silent = nil, true
	}
}

// run acquires until there is something to tell, or the member has waited long enough.
func (f *fetch) run(ctx context.Context) {
	if f.acquire() || ctx.Err() != nil {
		return
	}
	defer f.unwatch()
	f.waiter.Reset(1)
	f.watch()
	for !f.acquire() {
		select {
		case <-f.waiter.C:
			f.waiter.Reset(1)
		case <-ctx.Done():
			return
		}
	}
}

func (f *fetch) watch() {
	for i := range f.targets {
		if t := &f.targets[i]; t.Fault == nil && !t.silent {
			t.replica.AwaitBytes(&t.watch, f.waiter)
			t.share.watch(f.waiter)
			t.watched = true
		}
	}
}

func (f *fetch) unwatch() {
	for i := range f.targets {
		if t := &f.targets[i]; t.watched {
			t.replica.ForgetBytes(&t.watch)
			t.share.unwatch(f.waiter)
		}
	}
}

// acquire takes what there is and reports whether the answer need not wait.
func (f *fetch) acquire() (enough bool) {
	for i := range f.targets {
		t := &f.targets[i]
		if t.Fault == nil && !t.silent && t.share.isLoaded() && f.records < f.r.MaxRecords && (f.bytes < f.r.MaxBytes || f.records == 0) {
			t.Fault = f.acquireFrom(t)
			t.hush()
		}
		enough = enough || t.Fault != nil || len(t.Acquired) > 0
	}
	return enough || len(f.targets) == 0
}

// acquireFrom reads on in one partition until something is acquired or there is nothing more.
func (f *fetch) acquireFrom(t *target) *kerr.Error {
	for range maxReads {
		from, upTo, committed, fault := t.share.next(t.replica)
		if fault != nil || from >= upTo {
			return fault
		}
		data, spans, err := read(t.replica, from, upTo, min(readBytes, max(f.r.MaxBytes-f.bytes, 1)), committed)
		if err != nil {
			f.m.cfg.Logger.Error("cannot read for a share group", "partition", t.replica.Name(), "err", err)
			return kerr.KafkaStorageError
		}
		if len(data) == 0 {
			return nil
		}
		acquired, fault := t.share.acquire(delivery.Request{
			Member: f.s.member, From: from, Spans: spansOf(spans), MaxRecords: f.r.MaxRecords - f.records, Strict: f.r.Strict,
		})
		if fault != nil {
			return fault
		}
		if len(acquired) == 0 {
			continue // held by others, or hidden
		}
		for _, a := range acquired {
			f.records += a.Last - a.First + 1
		}
		t.Records = trim(data, spans, acquired[0].First, acquired[len(acquired)-1].Last)
		t.Acquired = divide(acquired, spans, f.r.BatchSize)
		f.bytes += len(t.Records)
		return nil
	}
	return nil
}

// answer is what there is to tell: everything that is new to the session, acquired or wrong.
func (f *fetch) answer() []Fetched {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	told := make([]Fetched, 0, len(f.targets))
	if len(f.targets) == 0 { // nothing was asked for but to be in the session
		for i := range f.s.partitions {
			if p := &f.s.partitions[i]; p.unanswered {
				told = append(told, Fetched{TopicPartition: p.TopicPartition})
				p.unanswered = false
			}
		}
		return told
	}
	for i := range f.targets {
		t := &f.targets[i]
		n := f.s.index(t.TopicPartition)
		if n < 0 && len(t.Acquired) == 0 {
			continue // forgotten meanwhile
		}
		if t.Fault == nil && len(t.Acquired) == 0 && !f.s.partitions[n].unanswered {
			continue
		}
		if n >= 0 {
			f.s.partitions[n].unanswered = t.Fault != nil
		}
		told = append(told, t.Fetched)
	}
	return told
}

// next says where to read and up to where; there is nothing to read where the window is full.
func (p *partition) next(r *replica.Partition) (from, upTo int64, committed bool, fault *kerr.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.fault != nil:
		return 0, 0, false, p.fault
	case r.LeaderEpoch() != p.epoch || !r.Leads():
		return 0, 0, false, kerr.NotLeaderForPartition
	}
	if err := r.Err(); err != nil {
		return 0, 0, false, refusalOf(err)
	}
	settings := p.current()
	p.core.MoveStart(r.LogStartOffset())
	from = p.core.NextOffset()
	if !p.core.HasRoom(settings.Limits) {
		return from, from, false, nil
	}
	upTo = r.HighWatermark()
	if settings.ReadCommitted {
		upTo = r.LastStableOffset()
	}
	return from, upTo, settings.ReadCommitted, nil
}

func (p *partition) acquire(q delivery.Request) ([]delivery.Batch, *kerr.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault != nil {
		return nil, p.fault
	}
	acquired := p.core.Acquire(q, p.current().Limits, p.m.cfg.Clock())
	for _, a := range acquired {
		p.m.metrics.acquired.Add(float64(a.Last - a.First + 1))
	}
	p.setTimerLocked()
	return acquired, nil
}

// read returns whole batches from offset on, and what each of them holds.
func read(r *replica.Partition, from, upTo int64, maxBytes int, committed bool) (data []byte, spans []span, err error) {
	l := r.Log()
	if l == nil {
		return nil, nil, nil
	}
	slice, err := l.Read(from, upTo, maxBytes, true)
	if err != nil {
		return nil, nil, fmt.Errorf("read at offset %d: %w", from, err)
	}
	if slice.SizeBytes == 0 {
		return nil, nil, nil
	}
	defer slice.Release()
	bound := slice.Bound()
	data = make([]byte, slice.SizeBytes)
	if slice.File == nil {
		copy(data, slice.Bytes)
	} else if _, err := slice.File.ReadAt(data, slice.Position); err != nil {
		return nil, nil, fmt.Errorf("read at offset %d: %w", from, err)
	}
	if spans, err = spansIn(data); err == nil && committed {
		hideAborted(spans, l.AbortedTransactions(from, bound))
	}
	return data, spans, err
}
