package log

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/vfs"
)

func TestRetentionDropsWholeSegmentsFromTheStart(t *testing.T) {
	const hour = int64(3_600_000)
	now := time.Now().UnixMilli()
	tests := []struct {
		name          string
		change        func(*Config)
		highWatermark int64
		wantStart     int64 // 14 records a segment
	}{
		{"unlimited", func(c *Config) {}, 100, 0},
		{"by size", func(c *Config) { c.RetentionBytes = 3000 }, 100, 56},
		{"by size, none below", func(c *Config) { c.RetentionBytes = 1 << 20 }, 100, 0},
		{"by time", func(c *Config) { c.RetentionMillis = 51 * hour }, 100, 42},
		{"all expired", func(c *Config) { c.RetentionMillis = 0 }, 100, 100},
		{"not beyond the high watermark", func(c *Config) { c.RetentionMillis = 0 }, 30, 28},
		{"compacted only", func(c *Config) { c.RetentionMillis, c.Delete, c.Compact = 0, false, true }, 100, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fs := vfs.NewMemory()
			d := mustOpenDir(t, fs)
			cfg := smallConfig()
			l := mustOpen(t, d, cfg)
			for i := range int64(100) {
				entries := []Entry{{Batch: batch(t, record.BuilderOptions{}, now-100*hour+i*hour, fmt.Sprintf("v%02d", i))}}
				if _, err := l.Append(entries, 0, OriginClient); err != nil {
					t.Fatal(err)
				}
			}
			size := l.SizeBytes()
			changed := *cfg
			test.change(&changed)
			l.SetConfig(&changed)
			n, bytes, err := l.ApplyRetention(test.highWatermark)
			if err != nil || l.LogStartOffset() != test.wantStart || (n > 0) != (test.wantStart > 0) {
				t.Fatalf("%d segments, start %d, %v", n, l.LogStartOffset(), err)
			}
			if l.SizeBytes() != size-bytes || l.LogEndOffset() != 100 {
				t.Fatalf("size %d, was %d, deleted %d", l.SizeBytes(), size, bytes)
			}
			if got := readAll(t, l, test.wantStart, 500); len(got) != int(100-test.wantStart) {
				t.Fatalf("%d records", len(got))
			}
			if test.wantStart > 0 {
				if _, err := l.Read(test.wantStart-1, 100, 100, true); !errors.Is(err, ErrOffsetOutOfRange) {
					t.Fatalf("read of a deleted record: %v", err)
				}
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			entries, err := fs.ReadDir(l.path)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if base, suffix, ok := segment.ParseFileName(e.Name()); ok && (base < test.wantStart || strings.HasSuffix(suffix, ".deleted")) {
					t.Errorf("%s is left", e.Name())
				}
			}
		})
	}
}

func TestDeleteRecordsHidesAtOnceAndFreesWholeSegments(t *testing.T) {
	fs := vfs.NewMemory()
	d := mustOpenDir(t, fs)
	l := mustOpen(t, d, smallConfig())
	appendValues(t, l, 0, numbered(0, 50)...)
	if err := l.IncrementLogStartOffset(51); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Fatalf("beyond the end: %v", err)
	}
	if err := l.IncrementLogStartOffset(20); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Read(19, 50, 100, true); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Fatalf("read of a deleted record: %v", err)
	}
	if n, _, err := l.ApplyRetention(50); n != 1 || err != nil {
		t.Fatalf("%d segments, %v", n, err)
	}
	same(t, readAll(t, l, 20, 500), expect(50)[20:])
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, mustOpenDir(t, fs), smallConfig())
	if l.LogStartOffset() != 20 {
		t.Fatalf("after a restart the log starts at %d", l.LogStartOffset())
	}
}

func TestTruncationGoesBackToBatchBoundaries(t *testing.T) {
	for _, offset := range []int64{0, 1, 12, 13, 14, 25, 26, 39, 41, 49, 50, 60} {
		t.Run(fmt.Sprint(offset), func(t *testing.T) {
			fs := vfs.NewMemory()
			d := mustOpenDir(t, fs)
			l := mustOpen(t, d, smallConfig())
			appendValues(t, l, 0, numbered(0, 40)...)
			entries := []Entry{{Batch: batch(t, record.BuilderOptions{HasProducer: true, ProducerID: 4}, time.Now().UnixMilli(), numbered(40, 50)...)}}
			if _, err := l.Append(entries, 3, OriginClient); err != nil {
				t.Fatal(err)
			}
			if err := l.TruncateTo(offset); err != nil {
				t.Fatal(err)
			}
			want := min(offset, 50)
			if want > 40 && want < 50 {
				want = 40 // the batch that holds it goes whole
			}
			if l.LogEndOffset() != want || l.FlushedOffset() > want {
				t.Fatalf("end %d, flushed %d, want %d", l.LogEndOffset(), l.FlushedOffset(), want)
			}
			epoch, ok := l.LatestEpoch()
			if wantEpoch := map[bool]int32{true: 3, false: 0}[want == 50]; ok != (want > 0) || ok && epoch != wantEpoch {
				t.Fatalf("latest epoch %d, %v", epoch, ok)
			}
			if producers := l.ActiveProducers(); (len(producers) == 1) != (want == 50) {
				t.Fatalf("producers %+v", producers)
			}
			appendValues(t, l, 7, numbered(int(want), 70)...)
			same(t, readAll(t, l, 0, 400), expect(70))
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			same(t, readAll(t, mustOpen(t, mustOpenDir(t, fs), smallConfig()), 0, 400), expect(70))
		})
	}
}

func TestALogCanRestartAtAnotherOffset(t *testing.T) {
	fs := vfs.NewMemory()
	d := mustOpenDir(t, fs)
	l := mustOpen(t, d, smallConfig())
	appendValues(t, l, 0, numbered(0, 40)...)
	if err := d.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	for _, offset := range []int64{1000, 10} {
		if err := l.TruncateFullyAndStartAt(offset); err != nil {
			t.Fatal(err)
		}
		if l.LogStartOffset() != offset || l.LogEndOffset() != offset {
			t.Fatalf("[%d, %d)", l.LogStartOffset(), l.LogEndOffset())
		}
		b := batch(t, record.BuilderOptions{BaseOffset: offset + 5, PartitionLeaderEpoch: 6}, 1, "follower")
		if err := l.AppendAsFollower([]record.Batch{b}); err != nil {
			t.Fatal(err)
		}
		if err := l.AppendAsFollower([]record.Batch{b}); err == nil {
			t.Fatal("a batch below the end was taken")
		}
		same(t, readAll(t, l, offset, 100), []string{fmt.Sprintf("%d:follower", offset+5)})
		if epoch, ok := l.EpochAt(offset + 5); !ok || epoch != 6 {
			t.Fatalf("epoch %d, %v", epoch, ok)
		}
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
		crashed := mustOpenDir(t, fs.CrashClone(testRand(uint64(offset))))
		after := mustOpen(t, crashed, smallConfig())
		if after.LogStartOffset() != offset || after.LogEndOffset() != offset+6 {
			t.Fatalf("after a crash [%d, %d)", after.LogStartOffset(), after.LogEndOffset())
		}
	}
}

func TestAFollowersNewLogCanStartAnywhere(t *testing.T) {
	l := mustOpen(t, mustOpenDir(t, vfs.NewMemory()), smallConfig())
	if err := l.TruncateFullyAndStartAt(700); err != nil {
		t.Fatal(err)
	}
	appendValues(t, l, 0, "x")
	same(t, readAll(t, l, 700, 100), []string{"700:x"})
}

func TestRecordsAreFoundByTime(t *testing.T) {
	fs := vfs.NewMemory()
	d := mustOpenDir(t, fs)
	l := mustOpen(t, d, smallConfig())
	// Times go up and down: the answer is the first record at or after the time.
	times := make([]int64, 0, 120)
	for i := range int64(40) {
		base := 1000 + i*10 - (i%5)*25
		entries := []Entry{{Batch: batch(t, record.BuilderOptions{Codec: record.Codec(i % 5)}, base, "a", "b", "c")}}
		if _, err := l.Append(entries, 2, OriginClient); err != nil {
			t.Fatal(err)
		}
		times = append(times, base, base+1, base+2)
	}
	check := func(l *Log, start int64) {
		t.Helper()
		for ask := int64(880); ask < 1420; ask++ {
			want := int64(-1)
			for i := start; i < int64(len(times)); i++ {
				if times[i] >= ask {
					want = i
					break
				}
			}
			got, ok, err := l.OffsetForTimestamp(ask)
			if err != nil || ok != (want >= 0) || ok && (got.Offset != want || got.TimestampMillis != times[want] || got.LeaderEpoch != 2) {
				t.Fatalf("time %d: %+v, %v, %v, want %d", ask, got, ok, err, want)
			}
		}
		got, ok, err := l.MaxTimestamp()
		if err != nil || !ok || got.TimestampMillis != 1352 || got.Offset != 107 {
			t.Fatalf("max timestamp: %+v, %v, %v", got, ok, err)
		}
	}
	check(l, 0)
	if err := l.IncrementLogStartOffset(31); err != nil {
		t.Fatal(err)
	}
	check(l, 31)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	check(mustOpen(t, mustOpenDir(t, fs), smallConfig()), 31)
}

func TestATopicMadeAgainUnderTheSameNameIsAnotherOne(t *testing.T) {
	fs := vfs.NewMemory()
	d := mustOpenDir(t, fs)
	l := mustOpen(t, d, smallConfig())
	appendValues(t, l, 0, numbered(0, 50)...)
	l.SetHighWatermark(50)
	if err := d.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(testTopic); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Read(0, 50, 100, true); !errors.Is(err, ErrClosed) {
		t.Fatalf("read of a removed log: %v", err)
	}
	again := testTopic
	again.TopicID = TopicID{99}
	l, err := d.Open(again, smallConfig(), Hooks{})
	if err != nil || l.LogEndOffset() != 0 || l.HighWatermark() != 0 {
		t.Fatal(err)
	}
	appendValues(t, l, 0, "v0")
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	crashed := mustOpenDir(t, fs.CrashClone(testRand(5)))
	if _, err := crashed.Open(testTopic, smallConfig(), Hooks{}); !errors.Is(err, ErrOtherTopicID) {
		t.Fatalf("the old topic is still there: %v", err)
	}
	after, err := crashed.Open(again, smallConfig(), Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, readAll(t, after, 0, 100), expect(1))
}

func TestSegmentsRollByTimeAndSettings(t *testing.T) {
	l := mustOpen(t, mustOpenDir(t, vfs.NewMemory()), DefaultConfig())
	at := func(ts int64) {
		t.Helper()
		if _, err := l.Append([]Entry{{Batch: batch(t, record.BuilderOptions{}, ts, "x")}}, 0, OriginClient); err != nil {
			t.Fatal(err)
		}
	}
	segments := func() int { return len(*l.segments.Load()) }
	cfg := *DefaultConfig()
	cfg.SegmentMillis = 100
	l.SetConfig(&cfg)
	at(1000)
	at(1100)
	if segments() != 1 {
		t.Fatal("rolled before its time")
	}
	at(1101)
	if segments() != 2 {
		t.Fatal("did not roll by time")
	}
	if err := l.MaybeRoll(); err != nil || segments() != 3 {
		t.Fatalf("MaybeRoll: %v, %d segments", err, segments())
	}
	cfg2 := *DefaultConfig()
	cfg2.SegmentIndexBytes, cfg2.IndexIntervalBytes = 16, 0
	l.SetConfig(&cfg2)
	before := segments()
	for range 6 {
		at(2000)
	}
	if segments() == before {
		t.Fatal("did not roll with a full index")
	}
	big := cfg2
	big.SegmentBytes = 80
	l.SetConfig(&big)
	entries := []Entry{{Batch: batch(t, record.BuilderOptions{}, 1, strings.Repeat("x", 100))}, {Batch: batch(t, record.BuilderOptions{}, 1, "fits")}}
	if n, err := l.Append(entries, 0, OriginClient); n != 1 || err != nil || entries[0].Err == nil || entries[1].Err != nil {
		t.Fatalf("%d, %v, %+v", n, err, entries)
	}
}

func TestTheKeeperFlushesChecksAndForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testDirConfig(vfs.NewMemory())
		cfg.CheckpointInterval = time.Minute
		cfg.ProducerIDExpiration, cfg.ProducerCheckInterval = 20*time.Minute, 10*time.Minute
		d, err := OpenDir(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		settings := *smallConfig()
		settings.FlushMillis = 5000
		l, err := d.Open(testTopic, &settings, Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		plain := testTopic
		plain.Partition = 9
		other, err := d.Open(plain, smallConfig(), Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		entries := []Entry{{Batch: batch(t, record.BuilderOptions{HasProducer: true, ProducerID: 8}, time.Now().UnixMilli(), "x")}}
		if _, err := l.Append(entries, 0, OriginClient); err != nil {
			t.Fatal(err)
		}
		appendValues(t, other, 0, "y")
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if l.FlushedOffset() != 1 || other.FlushedOffset() != 0 {
			t.Fatalf("flush.ms: %d, %d", l.FlushedOffset(), other.FlushedOffset())
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if other.FlushedOffset() != 1 || other.checkpointedRecoveryPoint() != 1 {
			t.Fatalf("checkpoint: flushed %d, recovery point %d", other.FlushedOffset(), other.checkpointedRecoveryPoint())
		}
		if len(l.ActiveProducers()) != 1 {
			t.Fatal("producer is forgotten too early")
		}
		time.Sleep(31 * time.Minute)
		synctest.Wait()
		if len(l.ActiveProducers()) != 0 {
			t.Fatal("producer has not expired")
		}
	})
}
