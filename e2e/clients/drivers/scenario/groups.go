package scenario

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// tally is what the members of a group have seen together.
type tally struct {
	mu   sync.Mutex
	seen map[string]int // value -> times
	by   map[string]int // member -> records
}

func (t *tally) add(member string, records []Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range records {
		t.seen[string(r.Value)]++
	}
	t.by[member] += len(records)
}

func (t *tally) count(member string) (values, byMember int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.seen), t.by[member]
}

// worker is a member that polls and commits until it is told to leave.
type worker struct {
	leave chan struct{}
	done  chan error
}

func work(ctx context.Context, c Client, group, topic, name string, t *tally) *worker {
	w := &worker{leave: make(chan struct{}), done: make(chan error, 1)}
	go func() { w.done <- w.run(ctx, c, group, topic, name, t) }()
	return w
}

func (w *worker) run(ctx context.Context, c Client, group, topic, name string, t *tally) error {
	m, err := c.Join(ctx, group, topic)
	if err != nil {
		return fmt.Errorf("%s joins: %w", name, err)
	}
	for {
		select {
		case <-w.leave:
			if err := m.Close(); err != nil {
				return fmt.Errorf("%s leaves: %w", name, err)
			}
			return nil
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", name, ctx.Err())
		default:
		}
		records, err := m.Poll(ctx)
		if err != nil && !errors.Is(err, ErrAgain) {
			return fmt.Errorf("%s polls: %w", name, err)
		}
		t.add(name, records)
		_ = m.Commit(ctx) // refused while the group rebalances: the records come again, which is allowed
	}
}

func (w *worker) stop() error {
	close(w.leave)
	return <-w.done
}

// group lets members join and leave while records flow: nothing may be missed, and those who stay share the work.
func group(ctx context.Context, c Client, o *Options) error {
	t := &tally{seen: map[string]int{}, by: map[string]int{}}
	stop, produced := make(chan struct{}), make(chan int, 1)
	var failed error
	go func() { n, err := stream(ctx, c, o.Topic, stop); failed = err; produced <- n }()
	a := work(ctx, c, o.Group, o.Topic, "a", t)
	if err := await(ctx, "a receives", func() bool { _, n := t.count("a"); return n > 50 }); err != nil {
		return err
	}
	b := work(ctx, c, o.Group, o.Topic, "b", t)
	if err := await(ctx, "b receives", func() bool { _, n := t.count("b"); return n > 50 }); err != nil {
		return err
	}
	if err := a.stop(); err != nil {
		return err
	}
	d := work(ctx, c, o.Group, o.Topic, "d", t)
	if err := await(ctx, "d receives", func() bool { _, n := t.count("d"); return n > 50 }); err != nil {
		return err
	}
	_, before := t.count("b")
	if err := await(ctx, "b still receives", func() bool { _, n := t.count("b"); return n > before+50 }); err != nil {
		return err
	}
	close(stop)
	total := <-produced
	if failed != nil {
		return fmt.Errorf("produce under load: %w", failed)
	}
	if err := await(ctx, "everything is seen", func() bool { n, _ := t.count(""); return n == total }); err != nil {
		n, _ := t.count("")
		return fmt.Errorf("%w: %d of %d", err, n, total)
	}
	return errors.Join(b.stop(), d.stop())
}

// stream produces to six partitions until it is stopped and returns how many records were acknowledged.
func stream(ctx context.Context, c Client, topic string, stop <-chan struct{}) (int, error) {
	n := 0
	for {
		select {
		case <-stop:
			return n, nil
		case <-time.After(20 * time.Millisecond):
		}
		records := make([]Record, 12)
		for i := range records {
			records[i] = Record{Value: fmt.Appendf(nil, "load/%d", n+i), Partition: int32(i % 6)}
		}
		if err := c.Produce(ctx, Sending{Topic: topic, Codec: "none", Acks: -1}, records); err != nil {
			return n, err
		}
		n += len(records)
	}
}

func await(ctx context.Context, what string, done func() bool) error {
	for !done() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited for: %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// commits reads half as one member, commits, and expects the next member to get exactly the other half.
func commits(ctx context.Context, c Client, o *Options) error {
	for half := range 2 {
		records := make([]Record, o.Count)
		for i := range records {
			records[i] = Record{Value: fmt.Appendf(nil, "half/%d/%d", half, i)}
		}
		if err := c.Produce(ctx, Sending{Topic: o.Topic, Codec: "none", Acks: -1}, records); err != nil {
			return err
		}
		if err := readHalf(ctx, c, o, half); err != nil {
			return fmt.Errorf("half %d: %w", half, err)
		}
	}
	return nil
}

func readHalf(ctx context.Context, c Client, o *Options, half int) error {
	m, err := c.Join(ctx, o.Group, o.Topic)
	if err != nil {
		return err
	}
	for err = ErrAgain; errors.Is(err, ErrAgain); {
		err = readOnce(ctx, m, o, half)
	}
	return errors.Join(err, m.Close())
}

// readOnce polls the half within one session of the member and commits.
func readOnce(ctx context.Context, m Member, o *Options, half int) error {
	for n := 0; n < o.Count; {
		records, err := m.Poll(ctx)
		if err != nil {
			return err
		}
		for _, r := range records {
			if want := fmt.Sprintf("half/%d/%d", half, n); string(r.Value) != want {
				return fmt.Errorf("got %q, want %q", r.Value, want)
			}
			n++
		}
	}
	if err := m.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}
