package compact

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/vfs"
)

// Redpanda #7143: after a restart the cleaner took a last stable offset from before the log had been read to its end, and an
// aborted record became the last value of its key for ever. Here the cleaner is the first to touch a log that was opened again:
// what a transaction holds that is still open takes nothing's place, and is gone when it is aborted.
func TestTheCleanerOfALogThatWasJustOpenedKnowsWhatIsUndecided(t *testing.T) {
	for name, again := range map[string]func(*bench, *vfs.Memory) *vfs.Memory{
		"after a clean stop": func(b *bench, fs *vfs.Memory) *vfs.Memory {
			if err := b.dir.Close(); err != nil {
				t.Fatal(err)
			}
			return fs
		},
		"after a kill":       func(_ *bench, fs *vfs.Memory) *vfs.Memory { return fs.KillClone() },
		"after a power loss": func(_ *bench, fs *vfs.Memory) *vfs.Memory { return fs.CrashClone(rand.New(rand.NewPCG(7, 143))) },
	} {
		t.Run(name, func(t *testing.T) {
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			fs := vfs.NewMemory()
			b := mustOpen(t, fs, settings())
			old := record.BuilderOptions{HasProducer: true, ProducerID: 9, Transactional: true}
			must(b.put(record.BuilderOptions{}, "a", "before", "b", "before"))
			must(b.put(old, "a", "open"))
			must(b.put(record.BuilderOptions{}, "c", "after"))
			must(b.settle())
			must(b.log.Flush())
			must(b.dir.Checkpoint())

			b = mustOpen(t, again(b, fs), settings())
			b.log.SetHighWatermark(b.log.LogEndOffset()) // as the replica says, without having looked at a record
			work, err := b.log.Cleanable()
			must(err)
			if work.EndOffset > 2 {
				t.Errorf("the cleaner may work up to offset %d, and the open transaction begins at 2", work.EndOffset)
			}
			_, err = b.cleaner.Clean(context.Background(), b.log)
			must(err)
			must(b.marker(9, record.AbortMarker))
			must(b.put(record.BuilderOptions{}, "d", "last"))
			_, err = b.clean()
			must(err)
			got, _ := b.entries()
			if want := []entry{{0, "a", "before"}, {1, "b", "before"}, {3, "c", "after"}, {5, "d", "last"}}; fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}
