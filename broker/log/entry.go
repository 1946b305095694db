package log

import (
	"github.com/millrace-io/millrace/broker/log/producer"
	"github.com/millrace-io/millrace/broker/record"
)

// Origin says who appends, and so what is checked.
type Origin int8

const (
	// OriginClient: epochs and sequences of producers are checked.
	OriginClient Origin = iota
	// OriginCoordinator: group offsets and transaction markers; producer epochs are checked, sequences are not.
	OriginCoordinator
	// OriginReplication: the leader has checked already.
	OriginReplication
)

// Entry is one batch of an Append. The batch was checked by record.Validator; its base offset and leader epoch are
// patched in place.
type Entry struct {
	Batch record.Batch
	// Guard is what BeginVerification gave for a batch of a transaction; without one it is let into an open transaction only.
	Guard producer.Guard
	// TransactionVersion is of the coordinator that sent an end marker.
	TransactionVersion int8

	// Set by Append.
	BaseOffset          int64 // of a duplicate: where the original is
	LastOffset          int64
	LogAppendTimeMillis int64 // the batch's timestamp when its type is LogAppendTime, else -1; of a duplicate: the original's
	LogStartOffset      int64
	Duplicate           bool
	Err                 error // a kerr value, possibly wrapped by a message: this batch was refused, others may stand
}

// TimestampOffset is the answer to a search by time.
type TimestampOffset struct {
	Offset          int64
	TimestampMillis int64
	LeaderEpoch     int32 // -1: unknown
}

// AbortedTransaction is one that a read_committed reader must skip.
type AbortedTransaction struct {
	ProducerID  int64
	FirstOffset int64
}
