package replica

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
)

// DeleteRecords moves the log start offset up; -1 stands for the high watermark. It returns the offset that all living
// replicas have to reach, and how far they are.
func (p *Partition) DeleteRecords(offset int64) (target, lowWatermark int64, err error) {
	if err := p.Err(); err != nil {
		return -1, -1, err
	}
	if !p.Topic.Settings().Log.Delete {
		return -1, -1, kerr.PolicyViolation
	}
	highWatermark := p.HighWatermark()
	if offset == -1 {
		offset = highWatermark
	}
	if offset < 0 || offset > highWatermark {
		return -1, -1, kerr.OffsetOutOfRange
	}
	l, err := p.open(false)
	if err != nil {
		return -1, -1, err
	}
	if l != nil && offset > l.LogStartOffset() {
		if err := l.IncrementLogStartOffset(offset); err != nil {
			return -1, -1, p.failed(err)
		}
		p.tellSessions(newsWatermark, false)
	}
	return offset, p.LowWatermark(), nil
}

// LowWatermark is the smallest log start offset of the replicas whose brokers live.
func (p *Partition) LowWatermark() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lowWatermark()
}

func (p *Partition) lowWatermark() int64 {
	if p.leader == nil {
		return p.LogStartOffset()
	}
	return p.leader.LowWatermark(p.LogStartOffset(), p.manager.brokers())
}

// AwaitLowWatermark registers the waiter unless the low watermark is at the offset already or this broker does not lead;
// it reports whether it did.
func (p *Partition) AwaitLowWatermark(offset int64, w *Waiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leader == nil || p.Err() != nil || p.lowWatermark() >= offset {
		return false
	}
	w.hold()
	p.lowWatermarks = append(p.lowWatermarks, offsetWaiter{offset: offset, waiter: w})
	return true
}

// ForgetLowWatermark takes back what AwaitLowWatermark registered.
func (p *Partition) ForgetLowWatermark(w *Waiter) {
	p.mu.Lock()
	p.lowWatermarks = slices.DeleteFunc(p.lowWatermarks, func(o offsetWaiter) bool { return o.waiter == w })
	p.mu.Unlock()
}
