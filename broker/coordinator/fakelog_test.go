package coordinator

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/record"
)

// fakeLog keeps batches in memory. What is appended is committed at once unless held.
type fakeLog struct {
	mu        sync.Mutex
	batches   []record.Batch
	end       int64
	held      bool
	waiting   []func(error)
	failing   error
	failAfter int // if set, errDisk after so many more appends
	readErr   error
	blocking  chan struct{} // if set, Append waits for it
	epochs    []int32
	terms     []Terms // of batches of transactions
}

func (l *fakeLog) Append(_ context.Context, _ int32, b record.Batch, epoch int32) (int64, error) {
	l.mu.Lock()
	blocking := l.blocking
	l.mu.Unlock()
	if blocking != nil {
		<-blocking
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failing != nil {
		return 0, l.failing
	}
	if l.failAfter > 0 {
		if l.failAfter--; l.failAfter == 0 {
			l.failing = errDisk
		}
	}
	b.SetBaseOffset(l.end)
	l.batches = append(l.batches, b)
	l.epochs = append(l.epochs, epoch)
	l.end = b.NextOffset()
	return l.end, nil
}

func (l *fakeLog) AwaitCommitted(_ int32, _ int64, _ int32, done func(error)) {
	l.mu.Lock()
	held := l.held
	if held {
		l.waiting = append(l.waiting, done)
	}
	l.mu.Unlock()
	if !held {
		done(nil)
	}
}

func (l *fakeLog) Read(_ context.Context, _ int32, offset int64, maxBytes int) ([]byte, int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.readErr != nil {
		return nil, 0, l.readErr
	}
	var data []byte
	for _, b := range l.batches {
		if b.NextOffset() > offset && (len(data) == 0 || len(data)+len(b) <= maxBytes) {
			data = append(data, b...)
		}
	}
	return data, l.end, nil
}

func (l *fakeLog) LogStartOffset(int32) (int64, error) { return 0, nil }

// release commits, or fails to commit, everything that waits.
func (l *fakeLog) release(err error) {
	l.mu.Lock()
	waiting := l.waiting
	l.waiting, l.held = nil, false
	l.mu.Unlock()
	for _, done := range waiting {
		done(err)
	}
}

func (l *fakeLog) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

func (l *fakeLog) counts() (batches int, records []int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.batches {
		records = append(records, b.Count())
	}
	return len(l.batches), slices.Clone(records)
}

// errDisk is what a broken disk says.
var errDisk = fmt.Errorf("write: %w", kerr.KafkaStorageError)
