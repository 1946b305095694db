package compact

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/vfs"
)

// Appends and reads go on while the log is cleaned: a reader sees rising offsets and, of each key, values that rise.
func TestAppendsAndReadsGoOnDuringCleanings(t *testing.T) {
	b := mustOpen(t, vfs.NewMemory(), settings())
	const keys, writes = 5, 500
	written := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		defer close(written)
		for i := range writes {
			if err := b.put(record.BuilderOptions{Codec: record.Codec(i % 5)}, fmt.Sprint("key-", i%keys), fmt.Sprintf("%06d", i)); err != nil {
				t.Error(err)
				return
			}
			b.log.SetHighWatermark(b.log.LogEndOffset())
		}
	})
	for range 2 {
		others.Go(func() {
			last := map[string]string{}
			for next := int64(0); next < writes && !t.Failed(); {
				batches, err := b.read(next, b.log.LogEndOffset(), 4000)
				if err != nil {
					t.Error(err)
					return
				}
				for _, batch := range batches {
					if batch.NextOffset() <= next {
						t.Errorf("a batch at %d is read from %d", batch.BaseOffset(), next)
					}
					next = batch.NextOffset()
					for r, err := range batch.Records(nil) {
						if key, value := string(r.Key), string(r.Value); err != nil || value < last[key] {
							t.Errorf("%q is %s after %s: %v", key, value, last[key], err)
						} else {
							last[key] = value
						}
					}
				}
			}
		})
	}
	for done := false; !done; {
		select {
		case <-written:
			done = true
		default:
		}
		if err := b.dir.Checkpoint(); err != nil {
			t.Fatal(err)
		}
		if _, err := b.cleaner.Clean(context.Background(), b.log); err != nil {
			t.Fatal(err)
		}
	}
	others.Wait()
	if _, err := b.clean(); err != nil {
		t.Fatal(err)
	}
	if got, _ := b.entries(); len(got) != keys {
		t.Fatalf("%d records are left of %d keys", len(got), keys)
	}
}
