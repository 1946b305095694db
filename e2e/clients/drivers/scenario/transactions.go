package scenario

import (
	"context"
	"fmt"
)

// Transactor is implemented by clients that have transactions.
type Transactor interface {
	// Transact makes a member of the group that reads what is committed of a topic, and a producer under the transactional id.
	Transact(ctx context.Context, id, group, topic string) (Exchange, error)
}

// Exchange reads a topic and writes another in transactions.
type Exchange interface {
	// Poll returns at most so many records, and within about a second, also with nothing.
	Poll(ctx context.Context, most int) ([]Record, error)
	// Run writes records to a topic in a transaction that also commits what was polled so far, or aborts it.
	Run(ctx context.Context, topic string, records []Record, commit bool) error
	Close() error
}

// perTransaction is how many records a transaction has; the second one is aborted and done again by another client.
const perTransaction = 30

// transactions copies a filled topic in transactions: fill/N becomes kept/N in TOPIC.out. What the aborted one wrote is
// called dropped/N. The caller of the driver checks what is there for whom.
func transactions(ctx context.Context, c Client, o *Options) error {
	t, ok := c.(Transactor)
	if !ok {
		return ErrLacks
	}
	aborted := false
	for next := 0; next < o.Count; {
		x, err := t.Transact(ctx, o.Topic, o.Group, o.Topic)
		if err != nil {
			return fmt.Errorf("open: %w", err)
		}
		for commit := true; commit && next < o.Count; {
			n := min(perTransaction, o.Count-next)
			if err := take(ctx, x, next, n); err != nil {
				return err
			}
			commit = aborted || next != perTransaction
			if err := x.Run(ctx, o.Topic+".out", results(next, n, commit), commit); err != nil {
				return fmt.Errorf("transaction from %d on, commit: %v: %w", next, commit, err)
			}
			if commit {
				next += n
			} else {
				aborted = true
			}
		}
		if err := x.Close(); err != nil {
			return fmt.Errorf("close: %w", err)
		}
	}
	return nil
}

// take polls the next n records, which are fill/first and on.
func take(ctx context.Context, x Exchange, first, n int) error {
	for got := 0; got < n; {
		records, err := x.Poll(ctx, n-got)
		if err != nil {
			return fmt.Errorf("poll: %w", err)
		}
		for _, r := range records {
			if want := fmt.Sprintf("fill/%d", first+got); string(r.Value) != want {
				return fmt.Errorf("polled %q, want %q", r.Value, want)
			}
			got++
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%d of %d records from %d on: %w", got, n, first, ctx.Err())
		}
	}
	return nil
}

func results(first, n int, commit bool) []Record {
	prefix := "kept"
	if !commit {
		prefix = "dropped"
	}
	records := make([]Record, n)
	for i := range records {
		records[i] = Record{Value: fmt.Appendf(nil, "%s/%d", prefix, first+i)}
	}
	return records
}
