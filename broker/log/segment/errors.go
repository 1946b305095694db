package segment

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// CorruptError is a place on disk whose bytes are not what was written. It is a kerr.KafkaStorageError for the wire.
type CorruptError struct {
	File   string
	Offset int64 // position in the file, in bytes
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s is corrupt at byte %d: %s", e.File, e.Offset, e.Reason)
}

// Unwrap gives the error that clients are told.
func (e *CorruptError) Unwrap() error { return kerr.KafkaStorageError }
