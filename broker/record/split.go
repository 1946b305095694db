package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kerr"
)

// CorruptError says that bytes are not a batch, or not the batch that its header tells of.
type CorruptError struct {
	Err     *kerr.Error // CorruptMessage; InvalidRecord when the records are at fault
	Message string      // Kafka's words where it has some
}

func (e *CorruptError) Error() string { return e.Message }
func (e *CorruptError) Unwrap() error { return e.Err }

func corrupt(format string, args ...any) error {
	return &CorruptError{Err: kerr.CorruptMessage, Message: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error {
	return &CorruptError{Err: kerr.InvalidRecord, Message: fmt.Sprintf(format, args...)}
}

// Split cuts the first batch off p. It returns io.EOF when p is empty, io.ErrUnexpectedEOF when p ends inside the
// batch, a *CorruptError when the length or the magic byte is impossible. It does not check the CRC.
func Split(p []byte) (b Batch, rest []byte, err error) {
	if len(p) == 0 {
		return nil, nil, io.EOF
	}
	if len(p) < logOverhead {
		return nil, p, io.ErrUnexpectedEOF
	}
	size := int64(int32(binary.BigEndian.Uint32(p[batchLengthAt:]))) + logOverhead
	if size < HeaderSize {
		return nil, p, corrupt("Record batch is corrupt (the size %d is smaller than the minimum allowed overhead %d)",
			size, HeaderSize)
	}
	if len(p) <= magicAt {
		return nil, p, io.ErrUnexpectedEOF
	}
	if magic := int8(p[magicAt]); magic != magicV2 {
		return nil, p, corrupt("Invalid magic found in record: %d", magic)
	}
	if size > int64(len(p)) {
		return nil, p, io.ErrUnexpectedEOF
	}
	return Batch(p[:size:size]), p[size:], nil
}

// legacyOverhead is the smallest message of the formats before v2, which Kafka checks before it looks at the magic.
const legacyOverhead = 14

// SplitProduced takes the records of one partition of a Produce request: exactly one batch, as
// ProduceRequest.validateRecords demands of version 3 and later. Bytes behind it that are no whole batch are dropped,
// as in Kafka. Errors are *InvalidBatchError.
func SplitProduced(p []byte, version int16) (Batch, error) {
	if len(p) > magicAt && (p[magicAt] == 0 || p[magicAt] == 1) &&
		int32(binary.BigEndian.Uint32(p[batchLengthAt:])) >= legacyOverhead {
		return nil, refuse(kerr.InvalidRecord, "Produce requests with version %d are only allowed to contain record "+
			"batches with magic version 2", version)
	}
	b, rest, err := Split(p)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, refuse(kerr.InvalidRecord, "Produce requests with version %d must have at least one record batch "+
			"per partition", version)
	}
	if err != nil {
		return nil, refusal(err)
	}
	if version < 7 && b.Attributes().Codec() == Zstd {
		return nil, refuse(kerr.UnsupportedCompressionType, "Produce requests with version %d are not allowed to use "+
			"ZStandard compression", version)
	}
	if len(rest) == 0 {
		return b, nil
	}
	switch _, _, err = Split(rest); {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return b, nil
	case err != nil:
		return nil, refusal(err)
	}
	return nil, refuse(kerr.InvalidRecord, "Produce requests with version %d are only allowed to contain exactly one "+
		"record batch per partition", version)
}
