package record

import (
	"iter"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Compression is what a topic's compression.type asks for.
type Compression struct {
	Recode bool  // false: keep what the producer chose
	Codec  Codec // target
	Level  int   // of the target; 0 is the codec's default
}

// Rules is what the broker checks and changes before an append, from topic configuration and request version.
type Rules struct {
	MaxMessageBytes int
	TimestampType   TimestampType
	BeforeMaxMillis int64
	AfterMaxMillis  int64
	Compression     Compression
	Compacted       bool
	ZstdAllowed     bool
	FromCoordinator bool
	TopicPartition  string // "topic-0", for messages
	// MaxDecompressedBytes bounds what a batch may unpack to; 0 is DefaultMaxDecompressedBytes.
	MaxDecompressedBytes int
}

type Validator struct{}

func (v *Validator) Check(b Batch, r *Rules, nowMillis int64) (Batch, error) { panic("BUG: not yet") }

type InvalidBatchError struct {
	Err          *kerr.Error
	Message      string
	RecordErrors []RecordError
}

func (e *InvalidBatchError) Error() string { return e.Message }
func (e *InvalidBatchError) Unwrap() error { return e.Err }

type RecordError struct {
	Index   int32
	Message string
}

// Header of a record.
type Header struct {
	Key   string
	Value []byte // nil is null
}

// Record is one record; Key, Value and Headers are valid until the iteration goes on.
type Record struct {
	Attributes      int8
	TimestampMillis int64
	OffsetDelta     int32
	Key, Value      []byte // nil is null
	Headers         []Header
}

// Decompressor unpacks batches with scratch that it keeps. Not safe for concurrent use.
type Decompressor struct{ MaxBytes int }

func (b Batch) Records(d *Decompressor) iter.Seq2[Record, error] { panic("BUG: not yet") }

// BuilderOptions is the header of a batch under construction.
type BuilderOptions struct {
	Codec                Codec
	Level                int
	BaseOffset           int64
	PartitionLeaderEpoch int32
	TimestampType        TimestampType
	// ProducerID, ProducerEpoch and BaseSequence are of an idempotent producer; HasProducer says they are set.
	HasProducer   bool
	ProducerID    int64
	ProducerEpoch int16
	BaseSequence  int32
	Transactional bool
	Control       bool
}

type Builder struct{}

func NewBuilder(opts BuilderOptions) *Builder { panic("BUG: not yet") }

// Append adds a record whose offset follows the last one's.
func (b *Builder) Append(timestampMillis int64, key, value []byte, headers []Header) {
	panic("BUG: not yet")
}

// SizeBytes is what the batch takes without compression.
func (b *Builder) SizeBytes() int { panic("BUG: not yet") }

// Count is the number of records appended.
func (b *Builder) Count() int { panic("BUG: not yet") }

func (b *Builder) Build() (Batch, error) { panic("BUG: not yet") }

// MarkerType is the outcome a transaction marker tells.
type MarkerType int16

const (
	AbortMarker  MarkerType = 0
	CommitMarker MarkerType = 1
)

// EndTxnMarker is the record of a control batch that ends a transaction on a partition.
type EndTxnMarker struct {
	Type             MarkerType
	CoordinatorEpoch int32
}

// EndTxnBatch builds the control batch of a marker.
func EndTxnBatch(producerID int64, producerEpoch int16, timestampMillis int64, marker EndTxnMarker) Batch {
	panic("BUG: not yet")
}

// ParseEndTxnMarker reads the marker of a control batch; ok is false for control records of other types.
func ParseEndTxnMarker(b Batch) (m EndTxnMarker, ok bool, err error) { panic("BUG: not yet") }

func Compress(codec Codec, level int, dst, src []byte) ([]byte, error) { panic("BUG: not yet") }

func Decompress(codec Codec, dst, src []byte, maxBytes int) ([]byte, error) { panic("BUG: not yet") }
