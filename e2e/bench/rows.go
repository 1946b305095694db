package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace-io/millrace/broker/record"
)

// peer is one of the two brokers under comparison.
type peer struct {
	name    string
	address string
	pid     func() int
	dataDir string // with its logs somewhere below
	topics  int
}

// figures are what one run of a row gave, by the name of the figure with its unit.
type figures map[string]float64

// row is one load. Lower is better for every figure but those of rateFigures.
type row struct {
	name  string
	limit string // what the bare path reached, for orientation
	run   func(ctx context.Context, p *peer) (figures, error)
}

const mib = 1 << 20

const (
	cpuPerGB      = "cpu s/GB"
	recordsPerSec = "M rec/s"
	cpuPerRecord  = "cpu µs/rec"
)

func rows() []row {
	produce := func(name, limit string, recordBytes, batchBytes int, codec record.Codec, warm, total int64) row {
		return row{name, limit, func(ctx context.Context, p *peer) (figures, error) {
			topic, err := p.topic(ctx, 4, false)
			if err != nil {
				return nil, err
			}
			l := produceLoad{topic: topic, partitions: 4, recordBytes: recordBytes, batchBytes: batchBytes, codec: codec, inFlight: 5, totalBytes: warm}
			if _, err := l.run(p.address); err != nil {
				return nil, err
			}
			l.totalBytes = total
			return p.measured(func() (moved, error) { return l.run(p.address) })
		}}
	}
	fetch := func(name, limit string, batchBytes int, maxBytes int32, total int64) row {
		return row{name, limit, func(ctx context.Context, p *peer) (figures, error) {
			topic, err := p.topic(ctx, 4, false)
			if err != nil {
				return nil, err
			}
			fill := produceLoad{topic: topic, partitions: 4, recordBytes: 100, batchBytes: batchBytes, inFlight: 5, totalBytes: total}
			if _, err := fill.run(p.address); err != nil {
				return nil, err
			}
			l := fetchLoad{topic, 4, maxBytes, total}
			if _, err := l.run(p.address); err != nil {
				return nil, err
			}
			return p.measured(func() (moved, error) { return l.run(p.address) })
		}}
	}
	compaction := func(name string, codec record.Codec, total int64) row {
		return row{name, "", func(ctx context.Context, p *peer) (figures, error) {
			return compactionLoad{codec: codec, keys: 100_000, batchBytes: 16 << 10, totalBytes: total}.run(ctx, p)
		}}
	}
	return []row{
		compaction("compact", record.None, 512*mib),
		compaction("compactlz4", record.LZ4, 224*mib),
		produce("produce64k", "0.36-0.48 cpu s/GB", 100, 64<<10, record.None, 128*mib, 1024*mib),
		produce("produce16k", "0.53 cpu s/GB", 100, 16<<10, record.None, 64*mib, 512*mib),
		produce("produce1m", "0.21-0.43 cpu s/GB", 1024, 1_000_000, record.None, 128*mib, 1024*mib),
		produce("unbatched1k", "5.3-8.5 cpu s/GB", 1024, 1, record.None, 16*mib, 128*mib),
		produce("lz4", "", 100, 64<<10, record.LZ4, 32*mib, 256*mib),
		produce("zstd", "", 100, 64<<10, record.Zstd, 16*mib, 128*mib),
		produce("gzip", "", 100, 64<<10, record.Gzip, 16*mib, 128*mib),
		{"fsync64", "", func(ctx context.Context, p *peer) (figures, error) {
			topic, err := p.topic(ctx, 64, true)
			if err != nil {
				return nil, err
			}
			l := produceLoad{topic: topic, partitions: 64, recordBytes: 100, batchBytes: 16 << 10, inFlight: 1, totalBytes: 16 * mib}
			if _, err := l.run(p.address); err != nil {
				return nil, err
			}
			l.totalBytes = 128 * mib
			return p.measured(func() (moved, error) { return l.run(p.address) })
		}},
		fetch("fetch1m", "0.22-0.28 cpu s/GB", 64<<10, 1<<20, 512*mib),
		fetch("fetch64k", "0.40-0.50 cpu s/GB", 16<<10, 64<<10, 256*mib),
		{"e2e2k", "", func(ctx context.Context, p *peer) (figures, error) {
			warm, err := p.topic(ctx, 1, false)
			if err != nil {
				return nil, err
			}
			if _, err := (endToEndLoad{warm, 2000, 1024, 3 * time.Second}).run(p.address); err != nil {
				return nil, err
			}
			topic, err := p.topic(ctx, 1, false)
			if err != nil {
				return nil, err
			}
			before, err := cpuTime(p.pid())
			if err != nil {
				return nil, err
			}
			d, err := endToEndLoad{topic, 2000, 1024, 10 * time.Second}.run(p.address)
			if err != nil {
				return nil, err
			}
			after, err := cpuTime(p.pid())
			return figures{
				"p50 ms": milliseconds(d.p50), "p99 ms": milliseconds(d.p99), "p99.9 ms": milliseconds(d.p999),
				cpuPerRecord: float64((after - before).Microseconds()) / 20_000,
			}, err
		}},
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// topic makes a fresh topic. Both brokers keep it alike: in memory of the broker at the ack, or fsynced before it.
func (p *peer) topic(ctx context.Context, partitions int, fsync bool) (string, error) {
	p.topics++
	name := fmt.Sprintf("bench-%d", p.topics)
	configs := map[string]string{"segment.bytes": "134217728"}
	switch {
	case p.name == "kafka" && fsync:
		configs["flush.messages"] = "1"
	case p.name != "kafka" && !fsync:
		configs["write.caching"] = "true"
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return name, createTopic(ctx, p.address, name, partitions, configs)
}

// measured runs a load and relates the broker's CPU time to it.
func (p *peer) measured(load func() (moved, error)) (figures, error) {
	before, err := cpuTime(p.pid())
	if err != nil {
		return nil, err
	}
	m, err := load()
	if err != nil {
		return nil, err
	}
	after, err := cpuTime(p.pid())
	if err != nil {
		return nil, err
	}
	cpu := (after - before).Seconds()
	return figures{
		cpuPerGB: cpu / (float64(m.bytes) / 1e9), cpuPerRecord: cpu * 1e6 / float64(m.records),
		recordsPerSec: float64(m.records) / m.wall.Seconds() / 1e6, "MB/s": float64(m.bytes) / m.wall.Seconds() / 1e6,
	}, nil
}
