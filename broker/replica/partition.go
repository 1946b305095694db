package replica

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/metadata/image"
)

// AcksAll is the required acks of a produce that waits for the in-sync replicas.
const AcksAll int16 = -1

// Partition is one partition that has a replica on this broker.
type Partition struct {
	Topic  *Topic // fixed
	Number int32  // fixed

	name       string                          // fixed
	manager    *Manager                        // fixed
	leadership atomic.Pointer[image.Partition] // what the image says; nil after the partition was removed
	log        atomic.Pointer[log.Log]         // nil until first used
	offline    atomic.Pointer[error]           // why the log cannot be used

	highWatermark atomic.Int64
	appendedBytes atomic.Int64 // since start; what fetches that wait for bytes are told

	opening sync.Mutex // held while the log is opened: whoever needs it meanwhile has to wait
	dir     *log.Dir   // guarded by opening; nil until chosen

	mu             sync.Mutex
	committed      []offsetWaiter // guarded by mu
	watches        watchList      // guarded by mu
	announcedBytes int64          // guarded by mu: of appendedBytes, what the watches were told
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
	if err := p.offline.Load(); err != nil {
		return *err
	}
	return nil
}

// Log returns the partition's log, nil when nothing was ever written to it.
func (p *Partition) Log() *log.Log { return p.log.Load() }

// HighWatermark returns the offset below which everything is committed.
func (p *Partition) HighWatermark() int64 { return p.highWatermark.Load() }

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

// CheckInSync returns NOT_ENOUGH_REPLICAS when fewer replicas are in sync than min.insync.replicas asks for.
func (p *Partition) CheckInSync() error {
	s := p.leadership.Load()
	if s == nil {
		return kerr.UnknownTopicOrPartition
	}
	if needed := min(p.Topic.Settings().MinInSyncReplicas, len(s.Replicas)); len(s.ISR) < needed {
		return kerr.NotEnoughReplicas
	}
	return nil
}

// Append writes entries to the log as the leader. What was refused says so in its entry; an error is of the partition or
// its log, and is the Err of every entry that was not appended because of it. Without write caching a flush is under way
// when Append returns; AwaitOffset tells when it is done.
func (p *Partition) Append(entries []log.Entry, requiredAcks int16, origin log.Origin) error {
	l, err := p.writable(requiredAcks)
	if err != nil {
		for i := range entries {
			entries[i].Err = err
		}
		return err
	}
	appended, err := l.Append(entries, p.LeaderEpoch(), origin)
	if appended > 0 {
		p.appended(l, entries)
	}
	if err != nil {
		return p.failed(err)
	}
	return nil
}

// writable returns the log if this broker may append to it now.
func (p *Partition) writable(requiredAcks int16) (*log.Log, error) {
	if err := p.Err(); err != nil {
		return nil, err
	}
	if requiredAcks == AcksAll {
		if err := p.CheckInSync(); err != nil {
			return nil, err
		}
	}
	return p.openForWrite()
}

// appended makes what was appended count: at once where memory is enough, else once it is flushed.
func (p *Partition) appended(l *log.Log, entries []log.Entry) {
	bytes := 0
	for i := range entries {
		if entries[i].Err == nil && !entries[i].Duplicate {
			bytes += len(entries[i].Batch)
		}
	}
	p.appendedBytes.Add(int64(bytes))
	if p.Topic.Settings().AckFromMemory {
		p.advance(l, l.LogEndOffset())
	}
	// Asked anew: write caching that was switched off in between has flushed without these entries.
	if !p.Topic.Settings().AckFromMemory {
		l.RequestFlush()
	}
}

// failed notes an error of the log itself, so that later requests need not find it again.
func (p *Partition) failed(err error) error {
	if !errors.Is(err, log.ErrNoSpace) {
		if l := p.log.Load(); l != nil && l.Err() != nil {
			p.takeOffline(err)
		}
	}
	return err
}

// flushed is the log's hook: everything below endOffset is on disk.
func (p *Partition) flushed(endOffset int64) {
	l := p.log.Load()
	if l == nil || p.Topic.Settings().AckFromMemory {
		return
	}
	p.advance(l, endOffset)
}

// advance raises the high watermark and wakes who waited for that.
func (p *Partition) advance(l *log.Log, offset int64) {
	for {
		current := p.highWatermark.Load()
		if offset <= current {
			return
		}
		if p.highWatermark.CompareAndSwap(current, offset) {
			break
		}
	}
	for offset := p.highWatermark.Load(); ; offset = p.highWatermark.Load() {
		l.SetHighWatermark(offset)
		if p.highWatermark.Load() == offset { // else another advance came between, and may have told the log first
			break
		}
	}
	p.announce()
}

// announce tells waiters about a new high watermark.
func (p *Partition) announce() {
	p.mu.Lock()
	offset := p.highWatermark.Load()
	kept := p.committed[:0]
	for _, w := range p.committed {
		if w.offset <= offset {
			w.waiter.reached()
		} else {
			kept = append(kept, w)
		}
	}
	clear(p.committed[len(kept):])
	p.committed = kept
	appended := p.appendedBytes.Load()
	bytes := appended - p.announcedBytes
	p.announcedBytes = appended
	for w := p.watches.head; w != nil; w = w.next {
		w.waiter.arrived(bytes)
	}
	p.mu.Unlock()
}

// AwaitOffset registers the waiter unless the high watermark has reached the offset already or never will; it reports
// whether it did. The waiter is signalled when the last of its offsets is reached.
func (p *Partition) AwaitOffset(offset int64, w *Waiter) bool {
	if p.highWatermark.Load() >= offset {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.highWatermark.Load() >= offset || p.Err() != nil {
		return false
	}
	w.hold()
	p.committed = append(p.committed, offsetWaiter{offset: offset, waiter: w})
	return true
}

// ForgetOffset takes back what AwaitOffset registered and has not been reached.
func (p *Partition) ForgetOffset(w *Waiter) {
	p.mu.Lock()
	p.committed = slices.DeleteFunc(p.committed, func(o offsetWaiter) bool { return o.waiter == w })
	p.mu.Unlock()
}

// AwaitBytes registers a watch: the waiter is told of all bytes that become readable from now on.
func (p *Partition) AwaitBytes(watch *Watch, w *Waiter) {
	watch.waiter = w
	p.mu.Lock()
	p.watches.add(watch)
	p.mu.Unlock()
}

// ForgetBytes takes back what AwaitBytes registered.
func (p *Partition) ForgetBytes(watch *Watch) {
	p.mu.Lock()
	p.watches.remove(watch)
	p.mu.Unlock()
}

// wakeAll signals everybody who waits: what they wait for will not happen here.
func (p *Partition) wakeAll() {
	p.mu.Lock()
	for _, w := range p.committed {
		w.waiter.reached()
	}
	p.committed = nil
	for w := p.watches.head; w != nil; w = w.next {
		w.waiter.wake()
	}
	p.mu.Unlock()
}

func (p *Partition) takeOffline(err error) {
	if p.offline.CompareAndSwap(nil, &err) {
		p.manager.cfg.Logger.Error("partition offline", "topic", p.Topic.Name, "partition", p.Number, "error", err)
		p.wakeAll()
	}
}

// DeleteRecords moves the log start offset up; -1 stands for the high watermark.
func (p *Partition) DeleteRecords(offset int64) (lowWatermark int64, err error) {
	if err := p.Err(); err != nil {
		return -1, err
	}
	if !p.Topic.Settings().Log.Delete {
		return -1, kerr.PolicyViolation
	}
	highWatermark := p.HighWatermark()
	if offset == -1 {
		offset = highWatermark
	}
	if offset < 0 || offset > highWatermark {
		return -1, kerr.OffsetOutOfRange
	}
	l, err := p.open(false)
	if err != nil {
		return -1, err
	}
	if l == nil || offset <= l.LogStartOffset() {
		return p.LogStartOffset(), nil
	}
	if err := l.IncrementLogStartOffset(offset); err != nil {
		return -1, p.failed(err)
	}
	return l.LogStartOffset(), nil
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
// -1, -1 when the epoch is not known. Kafka notes an epoch when it begins, a log here with its first record.
func (p *Partition) EndOffsetForEpoch(epoch int32) (epochOut int32, endOffset int64) {
	current := p.LeaderEpoch()
	switch {
	case epoch == current:
		return epoch, p.LogEndOffset()
	case epoch > current || epoch == -1:
		return -1, -1
	}
	l := p.log.Load()
	if l == nil {
		return epoch, 0
	}
	latest, ok := l.LatestEpoch()
	switch {
	case !ok:
		return epoch, l.LogStartOffset()
	case epoch > latest:
		return latest, l.LogEndOffset()
	case epoch < 0:
		return epoch, l.LogStartOffset()
	}
	return l.EndOffsetForEpoch(epoch)
}
