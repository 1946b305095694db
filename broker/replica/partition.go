package replica

import (
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/planted"
	"github.com/millrace-io/millrace/broker/replica/isr"
	"github.com/millrace-io/millrace/metadata/image"
)

// AcksAll is the required acks of a produce that waits for the in-sync replicas.
const AcksAll int16 = -1

// Partition is one partition that has a replica on this broker: as its leader or as a follower of it.
type Partition struct {
	Topic  *Topic // fixed
	Number int32  // fixed

	name       string                          // fixed
	manager    *Manager                        // fixed
	leadership atomic.Pointer[image.Partition] // what the image says; nil before the first state and after removal
	removed    atomic.Bool
	log        atomic.Pointer[log.Log] // nil until first used
	offline    atomic.Pointer[error]   // why the log cannot be used
	gone       atomic.Bool             // it is offline until nobody counts on it, and then begins anew; see claim

	highWatermark atomic.Int64
	known         atomic.Bool  // the high watermark can be told to readers
	enoughInSync  atomic.Bool  // while leading: acks=all may be promised
	appendedBytes atomic.Int64 // since start; what fetches that wait for bytes are told

	opening sync.Mutex // held while the log is opened: whoever needs it meanwhile has to wait
	dir     *log.Dir   // guarded by opening; nil until chosen

	// role is held for reading while records are appended or cut, and for writing while the role changes: so what was
	// begun as the leader or the follower of one epoch has ended before another begins. It comes before mu.
	role    sync.RWMutex
	fetcher *fetcher // owned by the goroutine of Apply: who fetches for this partition; nil: nobody

	mu             sync.Mutex
	leader         *isr.Leader    // guarded by mu; nil: this broker does not lead
	tenure         int32          // guarded by mu: the epoch in which this broker began to lead without a break
	follower       isr.Follower   // guarded by mu; means something while this broker does not lead
	committed      []offsetWaiter // guarded by mu: of this tenure, or of an earlier one and not yet settled
	lowWatermarks  []offsetWaiter // guarded by mu: DeleteRecords that wait for followers
	watches        watchList      // guarded by mu
	announcedBytes int64          // guarded by mu: of appendedBytes, what the watches were told
	proposing      bool           // guarded by mu: waits for the proposer

	sessions atomic.Pointer[[]*followed] // followers' sessions that read here; replaced under mu
}

type offsetWaiter struct {
	offset int64
	waiter *Waiter
}

// LeaderEpoch returns the epoch of the leadership, -1 after the partition was removed.
func (p *Partition) LeaderEpoch() int32 {
	if s := p.leadership.Load(); s != nil {
		return s.LeaderEpoch
	}
	return -1
}

// Leader returns the id of the partition's leader, -1 when there is none.
func (p *Partition) Leader() int32 {
	if s := p.leadership.Load(); s != nil {
		return s.Leader
	}
	return -1
}

// Err says why the partition cannot be used now: it was removed, is led by another broker, or its log is offline.
func (p *Partition) Err() error {
	s := p.leadership.Load()
	switch {
	case s == nil:
		return kerr.UnknownTopicOrPartition
	case s.Leader != p.manager.cfg.NodeID:
		return kerr.NotLeaderForPartition
	}
	return p.logErr()
}

// ReadErr is Err for who may also read from a follower.
func (p *Partition) ReadErr() error {
	if p.leadership.Load() == nil {
		return kerr.UnknownTopicOrPartition
	}
	return p.logErr()
}

// readableAt is ReadErr for who says which leader epoch it knows; a negative one is none.
func (p *Partition) readableAt(currentEpoch int32) error {
	if err := p.ReadErr(); err != nil || currentEpoch < 0 {
		return err
	}
	return compareEpoch(currentEpoch, p.LeaderEpoch())
}

// compareEpoch holds the leader epoch that somebody knows against this broker's.
func compareEpoch(known, current int32) error {
	switch {
	case known < current:
		return kerr.FencedLeaderEpoch
	case known > current:
		return kerr.UnknownLeaderEpoch
	}
	return nil
}

func (p *Partition) logErr() error {
	if err := p.offline.Load(); err != nil {
		return *err
	}
	return nil
}

// Leads reports whether this broker leads the partition.
func (p *Partition) Leads() bool {
	s := p.leadership.Load()
	return s != nil && s.Leader == p.manager.cfg.NodeID
}

// Log returns the partition's log, nil when nothing was ever written to it.
func (p *Partition) Log() *log.Log { return p.log.Load() }

// HighWatermark returns the offset below which everything is committed.
func (p *Partition) HighWatermark() int64 {
	if planted.Enabled {
		return p.plantedHighWatermark()
	}
	return p.highWatermark.Load()
}

// LogEndOffset returns the offset of the next record.
func (p *Partition) LogEndOffset() int64 {
	if l := p.log.Load(); l != nil {
		return l.LogEndOffset()
	}
	return 0
}

// LogStartOffset returns the offset of the oldest record that can be read.
func (p *Partition) LogStartOffset() int64 {
	if l := p.log.Load(); l != nil {
		return l.LogStartOffset()
	}
	return 0
}

// LastStableOffset returns the offset below which every transaction is decided; never above the high watermark.
func (p *Partition) LastStableOffset() int64 {
	if l := p.log.Load(); l != nil {
		return min(l.LastStableOffset(), p.highWatermark.Load())
	}
	return 0
}

// SizeBytes returns what the log takes on disk.
func (p *Partition) SizeBytes() int64 {
	if l := p.log.Load(); l != nil {
		return l.SizeBytes()
	}
	return 0
}

// HighWatermarkKnown reports whether readers may be told the high watermark. A leader elected just now does not know how
// far its predecessor was, nor does a follower that has not heard of its leader since the start.
func (p *Partition) HighWatermarkKnown() bool { return p.known.Load() }

// CheckInSync returns NOT_ENOUGH_REPLICAS when fewer replicas are in sync than min.insync.replicas asks for.
func (p *Partition) CheckInSync() error {
	switch {
	case p.leadership.Load() == nil:
		return kerr.UnknownTopicOrPartition
	case !p.enoughInSync.Load():
		return kerr.NotEnoughReplicas
	}
	return nil
}

// Name returns topic and partition as Kafka writes them, e.g. "rides-0".
func (p *Partition) Name() string { return p.name }

// EpochAt returns the leader epoch of the record at an offset, -1 when it is not known.
func (p *Partition) EpochAt(offset int64) int32 {
	l := p.log.Load()
	if l == nil || offset >= l.LogEndOffset() {
		return p.LeaderEpoch()
	}
	if epoch, ok := l.EpochAt(offset); ok {
		return epoch
	}
	return -1
}

// EndOffsetForEpoch returns where the records of an epoch end, and the largest epoch up to the asked one that has any;
// -1, -1 when the epoch is not known. Kafka notes an epoch when it begins, a log here with its first record. A reader takes the
// answer for the end of what it has read: librdkafka begins anew there, so that a disk that cannot be read is an error.
func (p *Partition) EndOffsetForEpoch(epoch int32) (epochOut int32, endOffset int64, err error) {
	current := p.LeaderEpoch()
	switch {
	case epoch == current:
		return epoch, p.LogEndOffset(), nil
	case epoch > current || epoch == -1:
		return -1, -1, nil
	}
	l := p.log.Load()
	if l == nil {
		return epoch, 0, nil
	}
	if err := l.EpochsErr(); err != nil {
		return -1, -1, p.failed(err)
	}
	latest, ok := l.LatestEpoch()
	switch {
	case !ok || epoch < 0:
		return epoch, l.LogStartOffset(), nil
	case epoch > latest:
		return latest, l.LogEndOffset(), nil
	}
	epochOut, endOffset = l.EndOffsetForEpoch(epoch)
	return epochOut, endOffset, nil
}
