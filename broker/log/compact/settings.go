package compact

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Settings may change while the cleaner runs. The names in the comments are Kafka's; the zero value of a field is its
// default there.
type Settings struct {
	Threads           int           // log.cleaner.threads: logs cleaned at a time; default 1
	Backoff           time.Duration // log.cleaner.backoff.ms: pause when there is nothing to do; default 15 s
	KeyMapBytes       int64         // log.cleaner.dedupe.buffer.size: of all threads together; default 128 MiB
	LoadFactor        float64       // log.cleaner.io.buffer.load.factor: how full the map of keys may get; default 0.9
	BufferBytes       int64         // log.cleaner.io.buffer.size: of all threads' reads and writes; default 512 KiB
	MaxBytesPerSecond float64       // log.cleaner.io.max.bytes.per.second: read and written; default unbounded
}

// Validate reports every fault at once.
func (s *Settings) Validate() error {
	var faults []error
	if s.Threads < 0 || s.Backoff < 0 || s.KeyMapBytes < 0 || s.BufferBytes < 0 || s.MaxBytesPerSecond < 0 {
		faults = append(faults, fmt.Errorf("cleaner: a setting is negative: %+v", *s))
	}
	if s.LoadFactor < 0 || s.LoadFactor > 1 {
		faults = append(faults, fmt.Errorf("cleaner: load factor %v is not between 0 and 1", s.LoadFactor))
	}
	return errors.Join(faults...)
}

func (s Settings) withDefaults() *Settings {
	byDefault(&s.Threads, 1)
	byDefault(&s.Backoff, 15*time.Second)
	byDefault(&s.KeyMapBytes, 128<<20)
	byDefault(&s.LoadFactor, 0.9)
	byDefault(&s.BufferBytes, 512<<10)
	byDefault(&s.MaxBytesPerSecond, math.MaxFloat64)
	return &s
}

func byDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// perThread is one thread's part of memory.
func (s *Settings) perThread(bytes int64) int64 { return bytes / int64(max(s.Threads, 1)) }

// minBufferBytes keeps reads and writes large enough to be cheap, however many threads share the memory.
const minBufferBytes = 64 << 10

// bufferBytes is the size of a thread's read buffer, and of its write buffer.
func (s *Settings) bufferBytes() int { return int(max(s.perThread(s.BufferBytes)/2, minBufferBytes)) }
