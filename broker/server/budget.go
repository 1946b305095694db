package server

import (
	"context"
	"errors"

	"golang.org/x/sync/semaphore"
)

// ErrOverBudget says that a request asks for more memory than the whole budget has.
var ErrOverBudget = errors.New("the request needs more memory than this broker grants to all requests together")

// Budget bounds the memory that large requests of all connections may take together. Who finds it used up waits in line.
type Budget struct {
	sizeBytes int64
	sem       *semaphore.Weighted
}

// NewBudget returns a budget of so many bytes.
func NewBudget(sizeBytes int64) *Budget {
	return &Budget{sizeBytes: sizeBytes, sem: semaphore.NewWeighted(sizeBytes)}
}

// Acquire takes bytes out of the budget, waiting for others to give back. It fails with ErrOverBudget when the budget
// could never grant that much, and with the context's error.
func (b *Budget) Acquire(ctx context.Context, bytes int64) error {
	if bytes > b.sizeBytes {
		return ErrOverBudget
	}
	return b.sem.Acquire(ctx, bytes)
}

// Release gives back what Acquire took.
func (b *Budget) Release(bytes int64) { b.sem.Release(bytes) }

// TryAcquire takes bytes out of the budget if they are there at once.
func (b *Budget) TryAcquire(bytes int64) bool { return b.sem.TryAcquire(bytes) }
