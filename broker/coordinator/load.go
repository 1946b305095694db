package coordinator

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/record"
)

const (
	minLoadPause = 100 * time.Millisecond
	maxLoadPause = 30 * time.Second
)

// load reads the partition into a new shard and becomes its loop. A load that fails is tried again, with growing
// pauses, for as long as the partition is led: requests are refused with COORDINATOR_LOAD_IN_PROGRESS meanwhile.
func (p *partition) load() {
	r := p.runtime
	for pause := minLoadPause; ; pause = min(2*pause, maxLoadPause) {
		select {
		case r.loads <- struct{}{}:
		case <-r.ctx.Done():
			r.work.Done()
			return
		}
		started := r.cfg.Clock()
		shard := r.cfg.NewShard(p.id)
		count, end, err := p.read(shard)
		<-r.loads
		if err == nil {
			shard.Loaded(r.cfg.Clock())
			level := slog.LevelInfo
			if count == 0 {
				level = slog.LevelDebug // a new topic has many partitions without records
			}
			r.cfg.Logger.Log(r.ctx, level, "loaded coordinator shard", "topic", r.cfg.Name, "partition", p.id,
				"records", count, "endOffset", end, "took", r.cfg.Clock().Sub(started))
			p.activate(shard, end)
			return
		}
		shard.Closed()
		if p.isClosed() {
			r.work.Done()
			return
		}
		p.logUnloaded(err, pause)
		select {
		case <-time.After(pause):
		case <-r.ctx.Done():
			r.work.Done()
			return
		}
	}
}

// logUnloaded tells of a load that failed. That others lead the partition by now is no fault: the replicas hear of it before the
// coordinator, which is told next.
func (p *partition) logUnloaded(err error, pause time.Duration) {
	level := slog.LevelError
	if errors.Is(err, kerr.NotLeaderForPartition) || errors.Is(err, kerr.UnknownTopicOrPartition) {
		level = slog.LevelDebug
	}
	r := p.runtime
	r.cfg.Logger.Log(r.ctx, level, "cannot load coordinator shard", "topic", r.cfg.Name, "partition", p.id, "retryIn", pause, "err", err)
}

// activate opens the shard to requests. Whatever was read counts as committed only when the log says so.
func (p *partition) activate(shard Shard, end int64) {
	p.mu.Lock()
	p.shard, p.written = shard, end
	if p.phase == loading {
		p.phase = active
	}
	epoch := p.epoch // fixed now
	p.mu.Unlock()
	if e, ok := shard.(Elected); ok {
		e.Elected(epoch)
	}
	shard.Settled()
	if end > 0 {
		p.runtime.cfg.Log.AwaitCommitted(p.id, end, p.leaderEpoch(), func(err error) { p.onCommitted(end, err) })
	}
	p.run()
}

func (p *partition) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.phase == closed
}

func (p *partition) read(shard Shard) (count int, end int64, err error) {
	offset, err := p.runtime.cfg.Log.LogStartOffset(p.id)
	if err != nil {
		return 0, 0, fmt.Errorf("find the start of the log: %w", err)
	}
	decompressor := &record.Decompressor{}
	for {
		if p.isClosed() {
			return count, offset, errors.New("partition was lost while it loaded")
		}
		data, logEndOffset, err := p.runtime.cfg.Log.Read(p.runtime.ctx, p.id, offset, loadReadBytes)
		if err != nil {
			return count, offset, fmt.Errorf("read at offset %d: %w", offset, err)
		}
		before := offset
		for len(data) > 0 {
			b, rest, err := record.Split(data)
			if errors.Is(err, io.ErrUnexpectedEOF) && offset > before {
				break // the read ended inside a batch
			} else if err != nil {
				return count, offset, fmt.Errorf("split batch at offset %d: %w", offset, err)
			}
			n, err := replay(shard, b, offset, decompressor)
			if err != nil {
				return count, offset, fmt.Errorf("replay batch at offset %d: %w", b.BaseOffset(), err)
			}
			count += n
			offset = max(offset, b.NextOffset())
			data = rest
		}
		if offset >= logEndOffset {
			return count, offset, nil
		}
		if offset == before {
			return count, offset, fmt.Errorf("no batch at offset %d, the log ends at %d", offset, logEndOffset)
		}
	}
}

// replay applies a batch's records from an offset on.
func replay(shard Shard, b record.Batch, from int64, d *record.Decompressor) (count int, err error) {
	if b.Attributes().IsControl() {
		return 0, replayEnd(shard, b)
	}
	apply, err := replayer(shard, b)
	if err != nil {
		return 0, err
	}
	for r, err := range b.Records(d) {
		if err != nil {
			return count, err
		}
		if b.BaseOffset()+int64(r.OffsetDelta) < from {
			continue
		}
		one := Record{Key: r.Key, Value: r.Value}
		if err := apply(one); err != nil {
			return count, err
		}
		if placed, ok := shard.(Placed); ok {
			placed.Placed(one, b.BaseOffset()+int64(r.OffsetDelta))
		}
		count++
	}
	return count, nil
}
