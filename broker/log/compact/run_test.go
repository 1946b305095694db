package compact

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/vfs"
)

// fill makes the log dirty.
func (b *bench) fill(t *testing.T, l *log.Log, records int) {
	t.Helper()
	whole := b.log
	b.log = l
	defer func() { b.log = whole }()
	for i := range records {
		if err := b.put(record.BuilderOptions{}, fmt.Sprint("k", i%3), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.settle(); err != nil {
		t.Fatal(err)
	}
}

func dirtyBytes(t *testing.T, l *log.Log) int64 {
	t.Helper()
	c, err := l.Cleanable()
	if err != nil {
		t.Fatal(err)
	}
	return c.DirtyBytes
}

func TestACorruptLogIsGivenUpAndTheOthersGoOn(t *testing.T) {
	b := mustOpen(t, vfs.NewMemory(), settings())
	registry := prometheus.NewRegistry()
	var err error
	b.cleaner, err = NewCleaner(Config{Dirs: []*log.Dir{b.dir}, Logger: b.cleaner.cfg.Logger, Clock: b.clock.time, Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	other, err := b.dir.Open(log.TopicPartition{TopicID: log.TopicID{2}, Topic: "other"}, settings(), log.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	b.fill(t, b.log, 60)
	b.fill(t, other, 30) // less dirty: its turn comes later
	hurt := b.log.Sealed()[1]
	f, err := b.fs.OpenFile(hurt.FileName(segment.LogSuffix), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{0xff}, 70); err != nil {
		t.Fatal(err)
	}
	b.cleaner.Round(t.Context())
	if dirtyBytes(t, other) != 0 {
		t.Error("the log that is well was not cleaned")
	}
	given := b.cleaner.Uncleanable()
	if len(given) != 1 || given[0].Log != b.log || !strings.Contains(given[0].Reason.Error(), "crc") || b.log.Err() != nil {
		t.Fatalf("%+v, the log is %v", given, b.log.Err())
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP millrace_log_cleaner_uncleanable_partitions Partitions whose log cannot be compacted, mostly because it is corrupt.
# TYPE millrace_log_cleaner_uncleanable_partitions gauge
millrace_log_cleaner_uncleanable_partitions{dir="/logs"} 1
# HELP millrace_log_cleaner_rounds_total Cleanings of a log that were finished.
# TYPE millrace_log_cleaner_rounds_total counter
millrace_log_cleaner_rounds_total 1
`), "millrace_log_cleaner_uncleanable_partitions", "millrace_log_cleaner_rounds_total"); err != nil {
		t.Error(err)
	}
	if err := b.dir.Remove(topic); err != nil {
		t.Fatal(err)
	}
	if given := b.cleaner.Uncleanable(); len(given) != 0 {
		t.Errorf("%+v after the log is gone", given)
	}
}

func TestCompactionLags(t *testing.T) {
	cfg := settings()
	cfg.MinCompactionLagMillis = 10_000
	b := mustOpen(t, vfs.NewMemory(), cfg)
	b.fill(t, b.log, 30)
	if n := dirtyBytes(t, b.log); n != 0 {
		t.Errorf("%d bytes may be cleaned before min.compaction.lag.ms", n)
	}
	b.clock.advance(10 * time.Second)
	if dirtyBytes(t, b.log) == 0 {
		t.Error("nothing may be cleaned after min.compaction.lag.ms")
	}
	// max.compaction.lag.ms closes a segment that is written to no more, and has it cleaned however little it is.
	lagging := *cfg
	lagging.MinCleanableDirtyRatio, lagging.MinCompactionLagMillis, lagging.MaxCompactionLagMillis = 1, 0, 60_000
	b.log.SetConfig(&lagging)
	b.cleaner.Round(t.Context())
	if err := b.put(record.BuilderOptions{}, "k0", "last"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first round rolls, and a checkpoint has to pass it
		b.clock.advance(time.Minute + time.Millisecond)
		b.log.SetHighWatermark(b.log.LogEndOffset())
		b.cleaner.Round(t.Context())
		if err := b.dir.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	b.cleaner.Round(t.Context())
	if got, _ := b.entries(); len(got) != 3 || got[2].value != "last" {
		t.Errorf("%+v is left", got)
	}
}

// A log of compact,delete loses what is too old, compacted or not.
func TestCompactedSegmentsExpireWhereRetentionSaysSo(t *testing.T) {
	cfg := settings()
	cfg.Delete, cfg.RetentionMillis = true, 60_000
	b := mustOpen(t, vfs.NewMemory(), cfg)
	b.fill(t, b.log, 30)
	if _, err := b.clean(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.log.ApplyRetention(b.log.HighWatermark()); err != nil {
		t.Fatal(err)
	}
	if got, _ := b.entries(); len(got) != 3 {
		t.Fatalf("%+v is left before its time is over", got)
	}
	b.clock.advance(2 * time.Minute)
	if err := b.put(record.BuilderOptions{}, "new", "1"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.log.ApplyRetention(b.log.HighWatermark()); err != nil {
		t.Fatal(err)
	}
	if got, _ := b.entries(); len(got) != 1 || got[0].key != "new" {
		t.Fatalf("%+v is left", got)
	}
	if _, err := b.clean(); err != nil {
		t.Fatal(err)
	}
}

func TestTheThrottleIsForAllThreads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var limit throttle
		limit.setRate(1000)
		began := time.Now()
		for range 4 {
			if err := limit.wait(t.Context(), 500); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("2000 bytes at 1000 a second took %v", took)
		}
		limit.setRate(math.MaxFloat64)
		began = time.Now()
		if err := limit.wait(t.Context(), math.MaxInt32); err != nil || time.Since(began) != 0 {
			t.Errorf("%v, %v without a bound", err, time.Since(began))
		}
		limit.setRate(1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := limit.wait(ctx, 1<<30); err == nil || time.Since(began) != time.Minute {
			t.Errorf("%v after %v: the end of the context ends a wait", err, time.Since(began))
		}
	})
}

func TestTheCleanerFollowsItsSettingsWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := open(t, vfs.NewMemory(), &clock{now: time.UnixMilli(1_000_000)}, settings())
		if err != nil {
			t.Fatal(err)
		}
		defer b.dir.Close()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { b.cleaner.Run(ctx); close(done) }()
		b.fill(t, b.log, 30)
		time.Sleep(14 * time.Second)
		if dirtyBytes(t, b.log) == 0 {
			t.Error("the cleaner came before log.cleaner.backoff.ms")
		}
		time.Sleep(2 * time.Second)
		if dirtyBytes(t, b.log) != 0 {
			t.Error("the cleaner did not come after log.cleaner.backoff.ms")
		}
		b.cleaner.Configure(Settings{Threads: 3, Backoff: time.Second})
		time.Sleep(15 * time.Second) // the first thread's pause had begun
		b.fill(t, b.log, 30)
		time.Sleep(1100 * time.Millisecond)
		if dirtyBytes(t, b.log) != 0 {
			t.Error("the cleaner does not know of its new pause")
		}
		b.cleaner.Configure(Settings{Threads: 1, Backoff: time.Second})
		cancel()
		<-done
	})
}

func TestASegmentOfWhichEverythingStaysIsNotWrittenAgain(t *testing.T) {
	cfg := settings()
	cfg.SegmentBytes = 400 // two of them do not go into one
	b := mustOpen(t, vfs.NewMemory(), cfg)
	write := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			if err := b.put(record.BuilderOptions{}, fmt.Sprintf("key-%03d", i), "value"); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(0, 30)
	if _, err := b.clean(); err != nil {
		t.Fatal(err)
	}
	segments := b.log.Sealed()
	write(30, 40)
	write(12, 13) // and the fourth segment, or so, changes in its middle
	result, err := b.clean()
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for _, s := range segments {
		if b.log.Holds(s) {
			kept++
		}
	}
	if kept < len(segments)-3 || kept == len(segments) || result.ReadBytes > 3*cfg.SegmentBytes {
		t.Errorf("%d of %d segments are as they were; %+v", kept, len(segments), result)
	}
	if got, _ := b.entries(); len(got) != 40 {
		t.Errorf("%d records are left", len(got))
	}
}
