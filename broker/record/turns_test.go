package record

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Batches that unpack to little, to much and to too much are checked by many at once: every turn is given back, whatever
// became of the batch.
func TestManyBatchesAreUnpackedInTurns(t *testing.T) {
	codecs := &Codecs{}
	build := func(valueBytes int) Batch {
		b := NewBuilder(BuilderOptions{Codec: Zstd})
		b.Append(testNow, []byte("key"), bytes.Repeat([]byte{'x'}, valueBytes), nil)
		batch, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return batch
	}
	rules := Rules{MaxMessageBytes: 1 << 20, BeforeMaxMillis: 1 << 62, AfterMaxMillis: 1 << 62, ZstdAllowed: true, EveryRecord: true,
		MaxDecompressedBytes: 2 * turnBytes}
	damaged := build(1000)
	damaged[len(damaged)-1] ^= 0xff
	damaged.writeCRC()
	var all sync.WaitGroup
	for _, tc := range []struct {
		batch Batch
		want  error
	}{
		{build(1000), nil},
		{build(turnBytes + 1000), nil},
		{build(3 * turnBytes), kerr.MessageTooLarge},
		{damaged, kerr.InvalidRecord},
	} {
		for range 2 * maxTurns {
			all.Go(func() {
				v := Validator{Codecs: codecs}
				if _, err := v.Check(bytes.Clone(tc.batch), &rules, testNow); !errors.Is(err, tc.want) {
					t.Errorf("a batch of %d bytes: %v, want %v", len(tc.batch), err, tc.want)
				}
			})
		}
	}
	all.Wait()
	if n := len(codecs.turns.small); n != 0 || !codecs.turns.large.TryLock() {
		t.Errorf("%d small turns were not given back, or the large one", n)
	}
}
