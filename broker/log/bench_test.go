package log

import (
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/vfs"
)

// realDir is a directory on the file system of this machine.
func realDir(t testing.TB) *Dir {
	t.Helper()
	cfg := testDirConfig(vfs.OS())
	cfg.Path = t.TempDir()
	d, err := OpenDir(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func benchLog(t testing.TB) *Log {
	cfg := DefaultConfig()
	cfg.SegmentBytes = 256 << 20
	cfg.RetentionBytes = 1 << 20
	cfg.FileDeleteDelayMillis = 0
	return mustOpen(t, realDir(t), cfg)
}

func benchBatch(t testing.TB, sizeBytes int) record.Batch {
	return batch(t, record.BuilderOptions{}, time.Now().UnixMilli(), string(make([]byte, sizeBytes-record.HeaderSize-8)))
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			l := benchLog(b)
			entries := []Entry{{Batch: benchBatch(b, size)}}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			written := 0
			for b.Loop() {
				if n, err := l.Append(entries, 1, OriginClient); n != 1 || err != nil {
					b.Fatal(err, entries[0].Err)
				}
				if written += size; written > 200<<20 {
					written = 0
					b.StopTimer()
					l.Roll()
					l.ApplyRetention(l.LogEndOffset())
					b.StartTimer()
				}
			}
		})
	}
}

func BenchmarkReadTail(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			l := benchLog(b)
			entries := []Entry{{Batch: benchBatch(b, size)}}
			for range 100 {
				l.Append(entries, 1, OriginClient)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				s, err := l.Read(99, 100, 1<<20, true)
				if err != nil || s.SizeBytes == 0 {
					b.Fatal(err)
				}
				s.Release()
			}
		})
	}
}

func BenchmarkReadCold(b *testing.B) {
	l := benchLog(b)
	entries := []Entry{{Batch: benchBatch(b, 16<<10)}}
	for range 5000 {
		l.Append(entries, 1, OriginClient)
	}
	l.Roll()
	b.ReportAllocs()
	offset := int64(0)
	for b.Loop() {
		s, err := l.Read(offset, 5000, 1<<20, true)
		if err != nil || s.SizeBytes == 0 {
			b.Fatal(err)
		}
		s.Release()
		offset = (offset + 61) % 4900
	}
}

// BenchmarkStart measures a start with many partitions: 10,000 with one record each, after a clean and an unclean stop.
func BenchmarkStart(b *testing.B) {
	const partitions = 10_000
	cfg := testDirConfig(vfs.OS())
	cfg.Path = b.TempDir()
	cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	open := func(b *testing.B) (*Dir, []*Log) {
		d, err := OpenDir(cfg)
		if err != nil {
			b.Fatal(err)
		}
		logs := make([]*Log, partitions)
		done := make(chan error)
		for w := range 4 {
			go func() {
				for i := w; i < partitions; i += 4 {
					var err error
					if logs[i], err = d.Open(TopicPartition{TopicID: TopicID{1}, Topic: "t", Partition: int32(i)}, DefaultConfig(), Hooks{}); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
		}
		for range 4 {
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
		return d, logs
	}
	d, logs := open(b)
	began := time.Now()
	for _, l := range logs {
		entries := []Entry{{Batch: benchBatch(b, 1<<10)}}
		if _, err := l.Append(entries, 1, OriginClient); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("first appends: %v", time.Since(began))
	began = time.Now()
	if err := d.Checkpoint(); err != nil {
		b.Fatal(err)
	}
	b.Logf("checkpoint: %v", time.Since(began))
	began = time.Now()
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
	b.Logf("close: %v", time.Since(began))
	b.Run("clean", func(b *testing.B) {
		for b.Loop() {
			d, _ := open(b)
			b.StopTimer()
			if !d.CleanStop() {
				b.Fatal("not clean")
			}
			d.Close()
			b.StartTimer()
		}
	})
	b.Run("unclean", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			vfs.OS().Remove(cfg.Path + "/" + cleanStopFile)
			b.StartTimer()
			d, logs := open(b)
			b.StopTimer()
			for _, l := range logs {
				if l.LogEndOffset() != 1 {
					b.Fatal("lost")
				}
			}
			d.Close()
			b.StartTimer()
		}
	})
}
