package compact

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/log/producer"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var topic = log.TopicPartition{TopicID: log.TopicID{1}, Topic: "__consumer_offsets", Partition: 7}

// clock stands still unless a test moves it.
type clock struct {
	mu  sync.Mutex // the flusher asks, too
	now time.Time  // guarded by mu
}

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(by time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(by)
	c.mu.Unlock()
}

type bench struct {
	t       testing.TB
	fs      vfs.FS
	clock   *clock
	dir     *log.Dir
	log     *log.Log
	cleaner *Cleaner
}

func settings() *log.Config {
	cfg := log.DefaultConfig()
	cfg.Compact, cfg.Delete = true, false
	cfg.SegmentBytes, cfg.IndexIntervalBytes = 600, 100
	cfg.FileDeleteDelayMillis, cfg.DeleteRetentionMillis = 0, 1000
	return cfg
}

func open(t testing.TB, fs vfs.FS, c *clock, cfg *log.Config) (*bench, error) {
	return openAt(t, "/logs", fs, c, cfg)
}

func openAt(t testing.TB, path string, fs vfs.FS, c *clock, cfg *log.Config) (*bench, error) {
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	dir, err := log.OpenDir(log.DirConfig{
		Path: path, FS: fs, Clock: c.time, Logger: logger, ClusterID: "c", NodeID: 1, DirectoryID: [16]byte{1}, CheckpointInterval: time.Hour,
	})
	if err != nil {
		return nil, err
	}
	l, err := dir.Open(topic, cfg, log.Hooks{})
	if err != nil {
		dir.Close()
		return nil, err
	}
	cleaner, err := NewCleaner(Config{Dirs: []*log.Dir{dir}, Logger: logger, Clock: c.time, Settings: Settings{KeyMapBytes: 1 << 16}})
	if err != nil {
		dir.Close()
		return nil, err
	}
	return &bench{t: t, fs: fs, clock: c, dir: dir, log: l, cleaner: cleaner}, nil
}

func mustOpen(t testing.TB, fs vfs.FS, cfg *log.Config) *bench {
	t.Helper()
	b, err := open(t, fs, &clock{now: time.UnixMilli(1_000_000)}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.dir.Close() })
	return b
}

// put appends one batch; an empty value is a tombstone.
func (b *bench) put(opts record.BuilderOptions, pairs ...string) error {
	builder := record.NewBuilder(opts)
	for i := 0; i < len(pairs); i += 2 {
		var value []byte
		if pairs[i+1] != "" {
			value = []byte(pairs[i+1])
		}
		builder.Append(b.clock.time().UnixMilli(), []byte(pairs[i]), value, nil)
	}
	built, err := builder.Build()
	if err != nil {
		return err
	}
	entries := []log.Entry{{Batch: built, Guard: producer.Unverified}}
	if _, err := b.log.Append(entries, 0, log.OriginCoordinator); err != nil {
		return err
	}
	return entries[0].Err
}

// marker ends a transaction.
func (b *bench) marker(producerID int64, kind record.MarkerType) error {
	entries := []log.Entry{{Batch: record.EndTxnBatch(producerID, 0, b.clock.time().UnixMilli(), record.EndTxnMarker{Type: kind})}}
	if _, err := b.log.Append(entries, 0, log.OriginCoordinator); err != nil {
		return err
	}
	return entries[0].Err
}

// settle makes everything appended so far cleanable.
func (b *bench) settle() error {
	if err := b.log.Roll(); err != nil {
		return err
	}
	b.log.SetHighWatermark(b.log.LogEndOffset())
	return b.dir.Checkpoint()
}

func (b *bench) clean() (Result, error) {
	if err := b.settle(); err != nil {
		return Result{}, err
	}
	return b.cleaner.Clean(context.Background(), b.log)
}

type entry struct {
	offset int64
	key    string
	value  string
}

func (b *bench) entries() (all []entry, batches int) {
	b.t.Helper()
	last := int64(-1)
	for offset := b.log.LogStartOffset(); ; {
		s, err := b.log.Read(offset, b.log.LogEndOffset(), 1000, true)
		if err != nil {
			b.t.Fatal(err)
		}
		if s.SizeBytes == 0 {
			return all, batches
		}
		for p := s.Bytes; len(p) > 0; {
			batch, rest, err := record.Split(p)
			if err != nil || batch.VerifyCRC() != nil {
				b.t.Fatalf("read at %d: %v", offset, err)
			}
			batches++
			for r, err := range batch.Records(&record.Decompressor{}) {
				if err != nil {
					b.t.Fatal(err)
				}
				at := batch.BaseOffset() + int64(r.OffsetDelta)
				if at <= last {
					b.t.Fatalf("offset %d after %d", at, last)
				}
				last = at
				if !batch.Attributes().IsControl() {
					all = append(all, entry{at, string(r.Key), string(r.Value)})
				}
			}
			offset, p = batch.NextOffset(), rest
		}
		s.Release()
	}
}

func TestOnlyTheLastValueOfAKeyStays(t *testing.T) {
	b := mustOpen(t, vfs.NewMemory(), settings())
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 5 {
		want := map[string]entry{}
		old, _ := b.entries()
		for _, e := range old {
			want[e.key] = e
		}
		for i := range 200 {
			key, value := fmt.Sprintf("k%d", rng.IntN(30)), fmt.Sprintf("v%d-%d", round, i)
			offset := b.log.LogEndOffset()
			if err := b.put(record.BuilderOptions{Codec: record.Codec(rng.IntN(3))}, key, value, "other-"+key, value); err != nil {
				t.Fatal(err)
			}
			want[key], want["other-"+key] = entry{offset, key, value}, entry{offset + 1, "other-" + key, value}
		}
		end := b.log.LogEndOffset()
		result, err := b.clean()
		if err != nil {
			t.Fatal(err)
		}
		if result.CleanedTo != end || result.WroteBytes >= result.ReadBytes {
			t.Fatalf("round %d: %+v, end %d", round, result, end)
		}
		got, _ := b.entries()
		if len(got) != len(want) {
			t.Fatalf("round %d: %d records stay, want %d", round, len(got), len(want))
		}
		for _, e := range got {
			if want[e.key] != e {
				t.Fatalf("round %d: %+v stays, want %+v", round, e, want[e.key])
			}
		}
		if b.log.LogEndOffset() != end {
			t.Fatalf("log end offset moved to %d", b.log.LogEndOffset())
		}
	}
}

func TestTombstonesStayUntilTheirHorizon(t *testing.T) {
	b := mustOpen(t, vfs.NewMemory(), settings())
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(b.put(record.BuilderOptions{}, "a", "1", "b", "1"))
	must(b.put(record.BuilderOptions{}, "a", ""))
	must(b.put(record.BuilderOptions{}, "c", "1"))
	for step, want := range []int{3, 3, 2} { // b, c and the tombstone of a; then the tombstone is over
		must(b.put(record.BuilderOptions{}, "filler", fmt.Sprint(step)))
		_, err := b.clean()
		must(err)
		got, _ := b.entries()
		if len(got) != want+1 {
			t.Fatalf("step %d: %+v", step, got)
		}
		b.clock.advance(600 * time.Millisecond)
	}
}

func TestTheLastBatchOfALiveProducerStaysEmpty(t *testing.T) {
	b := mustOpen(t, vfs.NewMemory(), settings())
	producer := record.BuilderOptions{HasProducer: true, ProducerID: 5, BaseSequence: 0}
	if err := b.put(producer, "a", "1"); err != nil {
		t.Fatal(err)
	}
	if err := b.put(record.BuilderOptions{}, "a", "2"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.clean(); err != nil {
		t.Fatal(err)
	}
	if got, batches := b.entries(); len(got) != 1 || batches != 2 {
		t.Fatalf("%+v in %d batches", got, batches)
	}
}

func TestAbortedRecordsGoAndMarkersFollow(t *testing.T) {
	b := mustOpen(t, vfs.NewMemory(), settings())
	txn := record.BuilderOptions{HasProducer: true, ProducerID: 9, Transactional: true}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	marker := func(kind record.MarkerType) {
		t.Helper()
		must(b.marker(9, kind))
	}
	must(b.put(record.BuilderOptions{}, "a", "before"))
	must(b.put(txn, "a", "aborted"))
	marker(record.AbortMarker)
	must(b.put(txn, "b", "committed"))
	marker(record.CommitMarker)
	must(b.put(txn, "c", "open"))
	if bound := b.log.LastStableOffset(); bound != 0 {
		t.Fatalf("last stable offset is %d before the high watermark moves", bound)
	}
	must(b.settle())
	if stable := b.log.LastStableOffset(); stable != 5 {
		t.Fatalf("last stable offset is %d", stable)
	}
	if _, err := b.clean(); err != nil {
		t.Fatal(err)
	}
	if got, _ := b.entries(); len(got) != 4 { // the open transaction keeps its segment from being cleaned
		t.Fatalf("%+v", got)
	}
	marker(record.CommitMarker)
	must(b.put(record.BuilderOptions{}, "d", "1"))
	_, err := b.clean()
	must(err)
	got, _ := b.entries()
	if want := []entry{{0, "a", "before"}, {3, "b", "committed"}, {5, "c", "open"}, {7, "d", "1"}}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%+v", got)
	}
	if txns := b.log.AbortedTransactions(0, 8); len(txns) != 1 {
		t.Fatalf("aborted transactions %+v while their marker is not on its way out", txns)
	}
	must(b.put(record.BuilderOptions{}, "e", "1"))
	_, err = b.clean() // nothing of the aborted transaction was left: its marker has its time now, readers need not know
	must(err)
	if txns := b.log.AbortedTransactions(0, 8); len(txns) != 0 {
		t.Fatalf("aborted transactions %+v of which nothing is left", txns)
	}
	_, before := b.entries()
	b.clock.advance(time.Hour)
	must(b.put(record.BuilderOptions{}, "f", "1"))
	_, err = b.clean()
	must(err)
	if _, after := b.entries(); after != before { // one more batch, and the marker of the aborted transaction less
		t.Fatalf("%d batches, were %d", after, before)
	}
}

func TestCompactionSurvivesACrashAtEveryOperation(t *testing.T) {
	memory := vfs.NewMemory()
	rng := rand.New(rand.NewPCG(7, 7))
	var watch atomic.Bool // the flusher asks, too
	want := map[string]string{}
	var check func(op vfs.Op)
	crashes := 0
	fs := vfs.NewFaulty(memory, func(op vfs.Op) error {
		if op.Kind.Writes() && watch.CompareAndSwap(true, false) {
			check(op)
			watch.Store(true)
		}
		return nil
	})
	cfg := settings()
	cfg.FileDeleteDelayMillis = 3_600_000 // the keeper removes files at its own times: not while others crash
	b := mustOpen(t, fs, cfg)
	check = func(op vfs.Op) {
		for range 3 {
			crashes++
			after, err := open(t, memory.CrashClone(rng), b.clock, settings())
			if err != nil {
				t.Fatalf("crash before operation %d, %s %s: %v", op.N, op.Kind, op.Name, err)
			}
			got := map[string]string{}
			all, _ := after.entries()
			for _, e := range all {
				got[e.key] = e.value
			}
			if !maps.Equal(got, want) || after.log.LogEndOffset() != b.log.LogEndOffset() {
				t.Fatalf("crash before operation %d, %s %s: %d keys, want %d; end %d", op.N, op.Kind, op.Name, len(got), len(want), after.log.LogEndOffset())
			}
			if err := after.dir.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for round := range 2 {
		for i := range 40 {
			key, value := fmt.Sprintf("k%d", rng.IntN(10)), fmt.Sprintf("v%d-%d", round, i)
			if err := b.put(record.BuilderOptions{}, key, value); err != nil {
				t.Fatal(err)
			}
			want[key] = value
		}
		if err := b.settle(); err != nil {
			t.Fatal(err)
		}
		watch.Store(true)
		if _, err := b.cleaner.Clean(context.Background(), b.log); err != nil {
			t.Fatal(err)
		}
		watch.Store(false)
	}
	if crashes < 100 {
		t.Fatalf("only %d crashes", crashes)
	}
}

func TestAFullKeyMapCleansInSeveralRounds(t *testing.T) {
	cfg := settings()
	cfg.MinCleanableDirtyRatio = 0
	b := mustOpen(t, vfs.NewMemory(), cfg)
	b.cleaner.Configure(Settings{KeyMapBytes: 12 * keyBytes})
	for i := range 100 {
		if err := b.put(record.BuilderOptions{}, fmt.Sprintf("k%d", i%50), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.settle(); err != nil {
		t.Fatal(err)
	}
	b.cleaner.Round(context.Background())
	if got, _ := b.entries(); len(got) != 50 || got[0].value != "50" {
		t.Fatalf("%d records: %+v", len(got), got)
	}
}

func TestDirtyRatioDecidesWhenALogIsCleaned(t *testing.T) {
	cfg := settings()
	cfg.MinCleanableDirtyRatio = 0.9
	b := mustOpen(t, vfs.NewMemory(), cfg)
	for i := range 20 {
		if err := b.put(record.BuilderOptions{}, fmt.Sprint(i), "x"); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.settle(); err != nil {
		t.Fatal(err)
	}
	b.cleaner.Round(context.Background())
	c, err := b.log.Cleanable()
	if err != nil || c.DirtyBytes != 0 || c.CleanBytes == 0 {
		t.Fatalf("%+v, %v", c, err)
	}
	if err := b.put(record.BuilderOptions{}, "1", "y"); err != nil {
		t.Fatal(err)
	}
	if err := b.settle(); err != nil {
		t.Fatal(err)
	}
	b.cleaner.Round(context.Background())
	if c, _ := b.log.Cleanable(); c.DirtyBytes == 0 {
		t.Fatal("a log that is hardly dirty was cleaned")
	}
	overdue := *cfg
	overdue.MaxCompactionLagMillis = 10
	b.log.SetConfig(&overdue)
	b.clock.advance(time.Minute)
	b.cleaner.Round(context.Background())
	if c, _ := b.log.Cleanable(); c.DirtyBytes != 0 {
		t.Fatal("max.compaction.lag.ms did not make it clean")
	}
}
