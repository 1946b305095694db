package record

import (
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Rules is what the broker checks and changes before an append, from the topic's configuration and the request.
type Rules struct {
	MaxMessageBytes int           // max.message.bytes: of the batch, header included
	TimestampType   TimestampType // message.timestamp.type
	BeforeMaxMillis int64         // message.timestamp.before.max.ms; MaxInt64 is no bound
	AfterMaxMillis  int64         // message.timestamp.after.max.ms; MaxInt64 is no bound
	Compression     Compression   // compression.type and its level; zero value: keep the producer's
	Compacted       bool          // cleanup.policy has compact: every record needs a key
	ZstdAllowed     bool          // Produce v7 and later
	FromCoordinator bool          // a write of the broker: may be a control batch and start anywhere
	EveryRecord     bool          // validate.records: each record's bytes as Kafka does, not only their lengths; unpacks all batches
	TopicPartition  string        // "orders-0", for messages; may be empty
	// MaxDecompressedBytes bounds what a batch may unpack to; 0 is DefaultMaxDecompressedBytes.
	MaxDecompressedBytes int
}

// Compression is what a topic's compression.type asks for.
type Compression struct {
	Recode bool  // false: "producer", whatever came stays
	Codec  Codec // target when Recode
	Level  int   // of the target, in Kafka's scale for that codec; 0 is the codec's default
}

// where names the partition in a message.
func (r *Rules) where() string {
	if r.TopicPartition == "" {
		return ""
	}
	return " in topic partition " + r.TopicPartition
}

func (r *Rules) appendTo() string {
	if r.TopicPartition == "" {
		return "append"
	}
	return "append to " + r.TopicPartition
}

// InvalidBatchError is a refusal of a batch, ready for a Produce response.
type InvalidBatchError struct {
	Err          *kerr.Error
	Message      string
	RecordErrors []RecordError // at most MaxRecordErrors of them
}

// RecordError is one record's part in a refusal (KIP-467). Index counts the batch's records from 0.
type RecordError struct {
	Index   int32
	Message string
}

// MaxRecordErrors bounds the list of a refusal; Kafka lists every record. Clients fail the whole batch anyway.
const MaxRecordErrors = 1000

func (e *InvalidBatchError) Error() string { return e.Err.Message + ": " + e.Message }
func (e *InvalidBatchError) Unwrap() error { return e.Err }

// String is how Kafka shows a record error inside a message.
func (e RecordError) String() string {
	return fmt.Sprintf("RecordError(batchIndex=%d, message='%s')", e.Index, e.Message)
}

func refuse(err *kerr.Error, format string, args ...any) error {
	return &InvalidBatchError{Err: err, Message: fmt.Sprintf(format, args...)}
}

// refusal turns what reading found into the answer.
func refusal(err error) error {
	var c *CorruptError
	if errors.As(err, &c) {
		return &InvalidBatchError{Err: c.Err, Message: c.Message}
	}
	var already *InvalidBatchError
	if errors.As(err, &already) {
		return already
	}
	return &InvalidBatchError{Err: kerr.InvalidRecord, Message: err.Error()}
}

// recordErrors gathers the records at fault; the batch is refused as a whole.
type recordErrors struct {
	first     []RecordError
	total     int
	timestamp bool // one of them is about a timestamp: that decides the code
}

func (e *recordErrors) add(index int32, format string, args ...any) {
	e.total++
	if len(e.first) < MaxRecordErrors {
		e.first = append(e.first, RecordError{Index: index, Message: fmt.Sprintf(format, args...)})
	}
}

func (e *recordErrors) err() error {
	switch {
	case e.total == 0:
		return nil
	case e.timestamp:
		return &InvalidBatchError{Err: kerr.InvalidTimestamp, RecordErrors: e.first,
			Message: "One or more records have been rejected due to invalid timestamp"}
	}
	shown := make([]string, 0, 3)
	for _, one := range e.first[:min(len(e.first), 3)] {
		shown = append(shown, one.String())
	}
	return &InvalidBatchError{Err: kerr.InvalidRecord, RecordErrors: e.first, Message: fmt.Sprintf(
		"One or more records have been rejected due to %d record errors in total, and only showing the first three "+
			"errors at most: [%s]", e.total, strings.Join(shown, ", "))}
}
