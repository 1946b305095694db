package coordinator

import (
	"context"

	"github.com/millrace-io/millrace/broker/record"
)

// Log is what a coordinator needs of the partitions of its internal topic.
type Log interface {
	// Append writes one batch and returns the offset after it. The batch is in the log, not yet committed.
	// An error says that nothing of the batch is in the log.
	Append(ctx context.Context, partition int32, batch record.Batch, expectedLeaderEpoch int32) (endOffset int64, err error)
	// AwaitCommitted calls done once, from any goroutine, when the high watermark has reached offset while this broker led
	// the partition in leaderEpoch (nil), or when that can no longer happen (the error): what lies below a high watermark
	// of a later epoch may be somebody else's.
	AwaitCommitted(partition int32, offset int64, leaderEpoch int32, done func(error))
	// Read returns whole batches from offset on, at least one where there is one, and the end of the log.
	Read(ctx context.Context, partition int32, offset int64, maxBytes int) (data []byte, logEndOffset int64, err error)
	// LogStartOffset is the first offset of the log.
	LogStartOffset(partition int32) (int64, error)
}
