package compact

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/vfs"
)

// BenchmarkClean cleans 128 MB of records of 100 bytes with 100,000 keys, on the file system of the machine.
func BenchmarkClean(b *testing.B) {
	for _, codec := range []record.Codec{record.None, record.LZ4, record.Zstd, record.Snappy} {
		b.Run(codec.String(), func(b *testing.B) {
			cpu, bytes := time.Duration(0), int64(0)
			b.ReportAllocs()
			for range b.N {
				b.StopTimer()
				c := filled(b, codec, 128<<20)
				before := processTime(b)
				b.StartTimer()
				result, err := c.cleaner.Clean(context.Background(), c.log)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				cpu += processTime(b) - before
				bytes += result.ReadBytes
				if err := c.dir.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(cpu.Seconds()/(float64(bytes)/1e9), "cpu-s/GB")
		})
	}
}

func processTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func filled(b *testing.B, codec record.Codec, size int64) *bench {
	cfg := log.DefaultConfig()
	cfg.Compact, cfg.Delete, cfg.SegmentBytes = true, false, 64<<20
	c, err := openAt(b, b.TempDir(), vfs.OS(), &clock{now: time.UnixMilli(1_000_000)}, cfg)
	if err != nil {
		b.Fatal(err)
	}
	c.cleaner.Configure(Settings{})
	rng := rand.New(rand.NewPCG(1, 2))
	value, noise := make([]byte, 100), make([]byte, 1<<16)
	for i := range value {
		value[i] = byte('a' + i*7%26)
	}
	for i := range noise {
		noise[i] = byte(rng.IntN(64) + 32)
	}
	for c.log.SizeBytes() < size {
		builder := record.NewBuilder(record.BuilderOptions{Codec: codec})
		for builder.SizeBytes() < 16<<10 {
			copy(value[50:], noise[rng.IntN(len(noise)-50):]) // half of each record does not compress
			builder.Append(1_000_000, fmt.Appendf(nil, "key-%08d", rng.IntN(100_000)), value, nil)
		}
		batch, err := builder.Build()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.log.Append([]log.Entry{{Batch: batch}}, 0, log.OriginCoordinator); err != nil {
			b.Fatal(err)
		}
	}
	if err := c.settle(); err != nil {
		b.Fatal(err)
	}
	return c
}
