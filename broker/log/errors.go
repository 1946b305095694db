package log

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/log/segment"
)

var (
	// ErrOffsetOutOfRange is below the log start offset or above the log end offset.
	ErrOffsetOutOfRange = kerr.OffsetOutOfRange
	// ErrNoSpace refuses an append on a full disk. The log is as it was before; a later append may succeed.
	ErrNoSpace = fmt.Errorf("no space left on the disk: %w", kerr.KafkaStorageError)
	// ErrClosed is returned by a log after Close of its Dir, or Remove.
	ErrClosed = fmt.Errorf("log is closed: %w", kerr.KafkaStorageError)
	// ErrLogChanged tells the cleaner that its segments are not in the log any more: retention was quicker.
	ErrLogChanged = errors.New("the log has changed")
	// ErrOtherTopicID says that the directory on disk belongs to another topic of the same name.
	ErrOtherTopicID = errors.New("directory belongs to another topic of the same name")
)

// CorruptError is a place on disk whose bytes are not what was written, below the recovery point. The partition is
// offline until somebody looks at it. It is a kerr.KafkaStorageError for the wire.
type CorruptError = segment.CorruptError

// OfflineError says why a log directory went offline. It is a kerr.KafkaStorageError for the wire.
type OfflineError struct {
	Dir   string
	Cause error
}

func (e *OfflineError) Error() string {
	return fmt.Sprintf("log directory %s is offline: %v", e.Dir, e.Cause)
}

// Unwrap gives the error that clients are told, and the cause.
func (e *OfflineError) Unwrap() []error { return []error{kerr.KafkaStorageError, e.Cause} }
