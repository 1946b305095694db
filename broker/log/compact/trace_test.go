package compact

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/vfs"
)

// What a producer has sent last is not committed yet when its log is cleaned, and is cut off afterwards. It goes on behind what was
// committed, whose records were cleaned away: also when no snapshot is left to tell where that ended. With more in flight than is
// remembered, and in a later epoch, too.
func TestACutAfterACleaningLeavesAProducerItsSequence(t *testing.T) {
	for name, inFlight := range map[string]func(put func(epoch int16, sequence int32)){
		"one batch": func(put func(int16, int32)) { put(0, 1) },
		"many": func(put func(int16, int32)) {
			for i := range int32(7) {
				put(0, 1+i)
			}
		},
		"a later epoch": func(put func(int16, int32)) { put(1, 0) },
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
			put := func(epoch int16, sequence int32) {
				t.Helper()
				must(send(b, epoch, sequence))
			}
			put(0, 0)
			must(b.put(record.BuilderOptions{}, "a", "after"))
			must(b.settle())
			committed := b.log.LogEndOffset()
			inFlight(put)
			_, err := b.cleaner.Clean(context.Background(), b.log)
			must(err)
			if got, _ := b.entries(); len(got) == 0 || got[0].offset == 0 {
				t.Fatalf("nothing was cleaned: %+v", got)
			}
			must(b.log.TruncateTo(committed))
			must(b.dir.Checkpoint())

			after := fs.CrashClone(rand.New(rand.NewPCG(1, 2)))
			loseSnapshots(t, after)
			b = mustOpen(t, after, settings())
			if send(b, 0, 7) == nil {
				t.Error("a batch is taken whose sequence does not follow")
			}
			put(0, 1)
		})
	}
}

// send appends a record of producer 9 as its client does: its sequence has to follow.
func send(b *bench, epoch int16, sequence int32) error {
	builder := record.NewBuilder(record.BuilderOptions{HasProducer: true, ProducerID: 9, ProducerEpoch: epoch, BaseSequence: sequence})
	builder.Append(b.clock.time().UnixMilli(), []byte("a"), []byte("of 9"), nil)
	batch, err := builder.Build()
	if err != nil {
		return err
	}
	entries := []log.Entry{{Batch: batch}}
	_, err = b.log.Append(entries, 0, log.OriginClient)
	return errors.Join(err, entries[0].Err)
}

// loseSnapshots removes what tells of producers beside the batches.
func loseSnapshots(t *testing.T, fs *vfs.Memory) {
	t.Helper()
	dir := "/logs/" + topic.String() + "/"
	entries, err := fs.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".snapshot") {
			if err := fs.Remove(dir + e.Name()); err != nil {
				t.Fatal(err)
			}
		}
	}
}
