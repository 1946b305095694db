package coordinator

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/record"
)

// refusedLogPause is the least time between two lines about refused writes.
const refusedLogPause = 10 * time.Second

// recordOverhead is more than a record takes beside its key and value.
const recordOverhead = 32

// batch gathers the records of several steps for one write. Owned by the loop.
type batch struct {
	p         *partition
	now       time.Time
	records   []Record
	sizeBytes int
	// transaction is what all of records are part of; nil: of none.
	transaction *Transaction
	steps       []parked // results of the steps whose records are in this batch, or that came after them
}

func newBatch(p *partition) *batch {
	return &batch{p: p, now: p.runtime.cfg.Clock()}
}

// step runs one event and deals with its result.
func (b *batch) step(event any, ticket Ticket) {
	b.accept(b.p.shard.Step(event, ticket, b.now))
}

// settle tells who waited how a write ended.
func (b *batch) settle(w parked, err error) {
	for _, r := range w.replies {
		if err != nil {
			b.p.deliver(r.Ticket, nil, err)
		} else {
			b.p.deliver(r.Ticket, r.Response, nil)
		}
	}
	if w.then != nil {
		b.step(Outcome{Event: w.then, Err: err}, 0)
	}
}

func (b *batch) accept(result Result) {
	for _, note := range result.Notes {
		b.p.runtime.cfg.Logger.Info(note.Message, note.Attributes...)
	}
	w := parked{then: result.Then}
	for _, r := range result.Replies {
		if r.Now {
			b.p.deliver(r.Ticket, r.Response, nil)
		} else {
			w.replies = append(w.replies, r)
		}
	}
	if err := b.add(result); err != nil {
		b.settle(w, err)
		return
	}
	if len(w.replies) == 0 && w.then == nil {
		return
	}
	if len(b.records) == 0 && len(result.Records) == 0 && len(b.p.parked) == 0 && b.p.isCommitted(b.p.written) {
		b.settle(w, nil)
		return
	}
	b.steps = append(b.steps, w)
}

// add replays the result's records and puts them into the batch, which it writes out as often as it is full.
func (b *batch) add(result Result) error {
	limit := b.p.runtime.cfg.MaxBatchBytes() - record.HeaderSize
	whole := 0
	for _, r := range result.Records {
		size := recordOverhead + len(r.Key) + len(r.Value)
		whole += size
		if size > limit {
			return Refusal(kerr.MessageTooLarge)
		}
	}
	if whole > limit && !result.Divisible {
		return Refusal(kerr.MessageTooLarge)
	}
	apart := len(result.Records) > 0 && len(b.records) > 0 && (b.transaction != nil || result.Transaction != nil)
	if apart || whole <= limit && b.sizeBytes+whole > limit {
		if err := b.flush(); err != nil {
			return err // decided on a state that is no more
		}
	}
	for _, r := range result.Records {
		size := recordOverhead + len(r.Key) + len(r.Value)
		if b.sizeBytes+size > limit {
			if err := b.flush(); err != nil {
				return err
			}
		}
		if len(b.records) == 0 {
			b.p.shard.Begin()
			b.transaction = result.Transaction
		}
		if err := b.replay(r); err != nil {
			panic(fmt.Sprintf("BUG: %s-%d: replay of a new record: %v", b.p.runtime.cfg.Name, b.p.id, err))
		}
		b.records = append(b.records, r)
		b.sizeBytes += size
	}
	return nil
}

func (b *batch) replay(r Record) error {
	if b.transaction == nil {
		return b.p.shard.Replay(r)
	}
	return b.p.shard.(TransactionalShard).ReplayPending(b.transaction.Producer, r)
}

// flush writes what was gathered and parks the answers. When the write fails, the shard is as it was before, and the
// steps are told; what they do then goes into the emptied batch.
func (b *batch) flush() error {
	steps := b.steps
	b.steps = nil
	if len(b.records) == 0 {
		b.park(steps)
		return nil
	}
	end, err := b.append()
	records := b.records
	b.records, b.sizeBytes, b.transaction = nil, 0, nil
	if shard, ok := b.p.shard.(Placed); ok && err == nil {
		for i, r := range records {
			shard.Placed(r, end-int64(len(records)-i))
		}
	}
	return b.written(steps, end, err)
}

// written keeps or takes back what was replayed since Begin, after the write of it.
func (b *batch) written(steps []parked, end int64, err error) error {
	if err != nil {
		b.p.shard.Rollback()
		refusal := Refusal(err)
		b.p.logRefused(err, b.now)
		for _, w := range steps {
			b.settle(w, refusal)
		}
		if len(b.records) > 0 || len(b.steps) > 0 {
			b.flush() // what the steps did in answer to the failure
		}
		return refusal
	}
	b.p.shard.Commit()
	b.p.written = end
	b.park(steps)
	b.p.runtime.cfg.Log.AwaitCommitted(b.p.id, end, b.p.leaderEpoch(), func(err error) { b.p.onCommitted(end, err) })
	return nil
}

// logRefused tells the first of many: a full disk refuses every write. That a transaction is over, or its producer fenced,
// is no failure of the log.
func (p *partition) logRefused(err error, now time.Time) {
	if errors.Is(err, kerr.InvalidTxnState) || errors.Is(err, kerr.InvalidProducerEpoch) || errors.Is(err, kerr.TransactionCoordinatorFenced) {
		return
	}
	p.refused++
	if now.Sub(p.refusedLogged) < refusedLogPause {
		return
	}
	level := slog.LevelError
	switch {
	case err == kerr.KafkaStorageError: // just that: the partition is offline, and why was told when it went
		level = slog.LevelWarn
	case errors.Is(err, kerr.NotEnoughReplicas) || errors.Is(err, kerr.NotLeaderForPartition) || errors.Is(err, kerr.FencedLeaderEpoch):
		level = slog.LevelWarn
	}
	p.runtime.cfg.Logger.Log(p.runtime.ctx, level, "cannot write to the coordinator's log", "topic", p.runtime.cfg.Name, "partition", p.id,
		"writes", p.refused, "err", err)
	p.refused, p.refusedLogged = 0, now
}

func (b *batch) park(steps []parked) {
	deadline := b.now.Add(b.p.runtime.cfg.WriteTimeout())
	for _, w := range steps {
		w.offset, w.deadline = b.p.written, deadline
		b.p.parked = append(b.p.parked, w)
	}
}

func (b *batch) append() (endOffset int64, err error) {
	var opts record.BuilderOptions
	if t := b.transaction; t != nil { // the log holds no sequences against a coordinator; 0 is what Kafka writes
		opts = record.BuilderOptions{HasProducer: true, ProducerID: t.ID, ProducerEpoch: t.Epoch, Transactional: true}
	}
	builder := record.NewBuilder(opts)
	millis := b.now.UnixMilli()
	for _, r := range b.records {
		builder.Append(millis, r.Key, r.Value, nil)
	}
	built, err := builder.Build()
	if err != nil {
		return 0, fmt.Errorf("build batch: %w", err)
	}
	if t := b.transaction; t != nil {
		return b.appendTransactional(built, Terms{Guard: t.Guard})
	}
	return b.p.runtime.cfg.Log.Append(b.p.runtime.ctx, b.p.id, built, b.p.leaderEpoch())
}

func (p *partition) leaderEpoch() int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.epoch
}

func (p *partition) isCommitted(offset int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.committed >= offset
}
