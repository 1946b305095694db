package coordinator

import (
	"context"
	"errors"

	"github.com/millrace-io/millrace/broker/record"
)

// Producer is who writes in a transaction.
type Producer struct {
	ID    int64
	Epoch int16
}

// TransactionalShard is a Shard of whose records some may be part of transactions. Both methods are called in the order of
// the log, live and at load, as Replay is, and Rollback undoes what they did since Begin.
type TransactionalShard interface {
	Shard
	// ReplayPending takes in a record that counts once its producer's transaction is committed.
	ReplayPending(by Producer, record Record) error
	// ReplayEnd ends the producer's transaction: its records count from now on, or never. There may be none.
	ReplayEnd(by Producer, committed bool)
}

// TransactionalLog is a Log that takes batches of transactions, too.
type TransactionalLog interface {
	Log
	// AppendTransactional is Append for a batch of a transaction or an end marker.
	AppendTransactional(ctx context.Context, partition int32, batch record.Batch, terms Terms, expectedLeaderEpoch int32) (endOffset int64, err error)
}

// Terms are what the log checks a batch of a transaction by.
type Terms struct {
	Guard              uint64 // of a batch with records: under which its transaction was verified
	TransactionVersion int8   // of an end marker
}

// Transaction is what the records of a Result are part of.
type Transaction struct {
	Producer
	Guard uint64
}

// Marker ends a transaction on one partition.
type Marker struct {
	Producer
	Committed          bool
	CoordinatorEpoch   int32
	TransactionVersion int8
}

// endTransaction is the event of a Marker: the loop deals with it, the shard sees the end in the order of the log.
type endTransaction struct{ marker Marker }

// EndTransaction writes the marker and returns when it is committed. The shard sees the end of the transaction after
// everything that was submitted before. Its error is a kerr value, or ctx's; INVALID_PRODUCER_EPOCH and
// TRANSACTION_COORDINATOR_FENCED come from the log.
func (r *Runtime) EndTransaction(ctx context.Context, id int32, marker Marker) error {
	_, err := r.Submit(ctx, id, endTransaction{marker})
	return err
}

// end writes a marker in a batch of its own.
func (b *batch) end(marker Marker, ticket Ticket) {
	_ = b.flush() // whoever was refused was told
	b.p.shard.Begin()
	if shard, ok := b.p.shard.(TransactionalShard); ok {
		shard.ReplayEnd(marker.Producer, marker.Committed)
	}
	kind := record.AbortMarker
	if marker.Committed {
		kind = record.CommitMarker
	}
	control := record.EndTxnBatch(marker.ID, marker.Epoch, b.now.UnixMilli(), record.EndTxnMarker{Type: kind, CoordinatorEpoch: marker.CoordinatorEpoch})
	end, err := b.appendTransactional(control, Terms{TransactionVersion: marker.TransactionVersion})
	_ = b.written([]parked{{replies: []Reply{{Ticket: ticket}}}}, end, err)
}

var errNoTransactions = errors.New("the log of this coordinator takes no transactions")

func (b *batch) appendTransactional(batch record.Batch, terms Terms) (int64, error) {
	log, ok := b.p.runtime.cfg.Log.(TransactionalLog)
	if !ok {
		return 0, errNoTransactions
	}
	return log.AppendTransactional(b.p.runtime.ctx, b.p.id, batch, terms, b.p.leaderEpoch())
}

// errTransactional stops the load of a shard that knows no transactions: better no state than a wrong one.
var errTransactional = errors.New("the batch belongs to a transaction, which this coordinator does not take part in")

// replayEnd applies a control batch.
func replayEnd(shard Shard, b record.Batch) error {
	transactional, ok := shard.(TransactionalShard)
	if !ok {
		return errTransactional
	}
	if b.Count() == 0 {
		return nil // compaction took the marker: nothing of its transaction is left
	}
	marker, ok, err := record.ParseEndTxnMarker(b)
	if err == nil && ok {
		transactional.ReplayEnd(Producer{b.ProducerID(), b.ProducerEpoch()}, marker.Type == record.CommitMarker)
	}
	return err
}

// replayer returns how the records of a batch are replayed.
func replayer(shard Shard, b record.Batch) (func(Record) error, error) {
	if !b.Attributes().IsTransactional() {
		return shard.Replay, nil
	}
	transactional, ok := shard.(TransactionalShard)
	if !ok {
		return nil, errTransactional
	}
	by := Producer{b.ProducerID(), b.ProducerEpoch()}
	return func(r Record) error { return transactional.ReplayPending(by, r) }, nil
}
