package log

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testTopic = TopicPartition{TopicID: TopicID{1, 2, 3, 4, 5, 6}, Topic: "orders", Partition: 3}

func testDirConfig(fs vfs.FS) DirConfig {
	return DirConfig{
		Path: "/data/logs", FS: fs, Clock: time.Now, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		ClusterID: "test-cluster", NodeID: 1, DirectoryID: [16]byte{9}, CheckpointInterval: time.Hour,
	}
}

func smallConfig() *Config {
	cfg := DefaultConfig()
	cfg.SegmentBytes = 1000
	cfg.IndexIntervalBytes = 100
	cfg.FileDeleteDelayMillis = 0
	cfg.RetentionMillis = -1
	return cfg
}

func mustOpenDir(t testing.TB, fs vfs.FS) *Dir {
	t.Helper()
	d, err := OpenDir(testDirConfig(fs))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func mustOpen(t testing.TB, d *Dir, cfg *Config) *Log {
	t.Helper()
	l, err := d.Open(testTopic, cfg, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// batch builds count records that begin with the value; their timestamps follow baseTimestamp.
func batch(t testing.TB, opts record.BuilderOptions, timestamp int64, values ...string) record.Batch {
	t.Helper()
	builder := record.NewBuilder(opts)
	for i, v := range values {
		builder.Append(timestamp+int64(i), nil, []byte(v), nil)
	}
	b, err := builder.Build()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func appendValues(t testing.TB, l *Log, epoch int32, values ...string) {
	t.Helper()
	for _, v := range values {
		entries := []Entry{{Batch: batch(t, record.BuilderOptions{}, 1000, v)}}
		if n, err := l.Append(entries, epoch, OriginClient); n != 1 || err != nil {
			t.Fatalf("append %q: %d, %v, %v", v, n, err, entries[0].Err)
		}
	}
}

// readAll returns "offset:value" of every record from offset on, read in runs of maxBytes.
func readAll(t testing.TB, l *Log, offset int64, maxBytes int) []string {
	t.Helper()
	var got []string
	for {
		s, err := l.Read(offset, l.LogEndOffset(), maxBytes, true)
		if err != nil {
			t.Fatalf("read at %d: %v", offset, err)
		}
		if s.SizeBytes == 0 {
			return got
		}
		p := s.Bytes
		if s.File != nil {
			p = make([]byte, s.SizeBytes)
			if _, err := s.File.ReadAt(p, s.Position); err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
		}
		for len(p) > 0 {
			b, rest, err := record.Split(p)
			if err != nil {
				t.Fatalf("read at %d: not whole batches: %v", offset, err)
			}
			if err := b.VerifyCRC(); err != nil {
				t.Fatal(err)
			}
			for r, err := range b.Records(&record.Decompressor{}) {
				if err != nil {
					t.Fatal(err)
				}
				if at := b.BaseOffset() + int64(r.OffsetDelta); at >= offset {
					got = append(got, fmt.Sprintf("%d:%s", at, r.Value))
				}
			}
			offset, p = b.NextOffset(), rest
		}
		s.Release()
	}
}

func expect(n int) []string {
	want := make([]string, n)
	for i := range want {
		want[i] = fmt.Sprintf("%d:v%d", i, i)
	}
	return want
}

func numbered(from, to int) []string {
	var values []string
	for i := from; i < to; i++ {
		values = append(values, fmt.Sprintf("v%d", i))
	}
	return values
}

func same(t testing.TB, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d records %v, want %d", len(got), got, len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("record %d is %s, want %s", i, got[i], want[i])
		}
	}
}

func TestAppendedRecordsAreReadInOrderFromEveryOffset(t *testing.T) {
	d := mustOpenDir(t, vfs.NewMemory())
	l := mustOpen(t, d, smallConfig())
	if _, err := d.fs.Stat(l.path); err == nil {
		t.Fatal("a log never appended to has a directory")
	}
	appendValues(t, l, 0, numbered(0, 200)...)
	if n := len(*l.segments.Load()); n < 5 {
		t.Fatalf("%d segments, the log did not roll", n)
	}
	want := expect(200)
	for _, maxBytes := range []int{1, 100, 500, 5000, 1 << 20} {
		for offset := range 200 {
			same(t, readAll(t, l, int64(offset), maxBytes), want[offset:])
		}
	}
	if _, err := l.Read(201, 201, 100, true); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Fatalf("read past the end: %v", err)
	}
	s, err := l.Read(10, 12, 1<<20, true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	if b, rest, _ := record.Split(s.Bytes); b.BaseOffset() != 10 || len(rest) != len(b) {
		t.Fatalf("read [10, 12) has %d bytes", s.SizeBytes)
	}
}

func TestReadRespectsMaxBytesExceptForTheFirstBatch(t *testing.T) {
	l := mustOpen(t, mustOpenDir(t, vfs.NewMemory()), DefaultConfig())
	appendValues(t, l, 0, numbered(0, 10)...)
	size := int(l.SizeBytes() / 10)
	for _, test := range []struct{ maxBytes, want int }{{1, 1}, {size, 1}, {2*size - 1, 1}, {2 * size, 2}, {1000 * size, 10}} {
		s, err := l.Read(0, 10, test.maxBytes, true)
		if err != nil || s.SizeBytes != test.want*size {
			t.Errorf("max %d: %d bytes, %v, want %d batches of %d", test.maxBytes, s.SizeBytes, err, test.want, size)
		}
		s.Release()
	}
	if s, err := l.Read(0, 10, size-1, false); err != nil || s.SizeBytes != 0 {
		t.Errorf("a batch that does not fit was returned: %d, %v", s.SizeBytes, err)
	}
}

func TestLargeReadsAreAPlaceInTheFile(t *testing.T) {
	l := mustOpen(t, mustOpenDir(t, vfs.NewMemory()), DefaultConfig())
	big := make([]byte, segment.InlineBytes)
	appendValues(t, l, 0, string(big), string(big))
	s, err := l.Read(1, 2, 1<<20, true)
	if err != nil || s.File == nil || s.Bytes != nil || s.SizeBytes <= segment.InlineBytes {
		t.Fatalf("%+v, %v", s, err)
	}
	p := make([]byte, s.SizeBytes)
	if _, err := s.File.ReadAt(p, s.Position); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	if b, _, err := record.Split(p); err != nil || b.BaseOffset() != 1 || b.VerifyCRC() != nil {
		t.Fatalf("not the batch at 1: %v", err)
	}
	s.Release()
}

func TestLogSurvivesCleanAndUncleanStop(t *testing.T) {
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprintf("clean=%v", clean), func(t *testing.T) {
			fs := vfs.NewMemory()
			d := mustOpenDir(t, fs)
			l := mustOpen(t, d, smallConfig())
			appendValues(t, l, 0, numbered(0, 50)...)
			appendValues(t, l, 4, numbered(50, 100)...)
			if err := l.Flush(); err != nil {
				t.Fatal(err)
			}
			after := fs
			if clean {
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
			} else {
				after = fs.CrashClone(testRand(1))
			}
			d = mustOpenDir(t, after)
			if d.CleanStop() != clean {
				t.Fatalf("clean stop is %v", d.CleanStop())
			}
			if found := d.Partitions(); len(found) != 1 || found[0] != testTopic {
				t.Fatalf("found %v", found)
			}
			l = mustOpen(t, d, smallConfig())
			if l.LogEndOffset() != 100 {
				t.Fatalf("log end offset is %d", l.LogEndOffset())
			}
			if epoch, ok := l.LatestEpoch(); epoch != 4 || !ok {
				t.Fatalf("latest epoch is %d", epoch)
			}
			same(t, readAll(t, l, 0, 300), expect(100))
			if epoch, end := l.EndOffsetForEpoch(2); epoch != 0 || end != 50 {
				t.Fatalf("epoch 2 ends as %d at %d", epoch, end)
			}
			appendValues(t, l, 5, numbered(100, 120)...)
			same(t, readAll(t, l, 0, 3000), expect(120))
		})
	}
}
