package share

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/broker/share/delivery"
	"github.com/millrace-io/millrace/broker/share/state"
)

// partition is one partition in one share group, at its leader.
type partition struct {
	m             *Manager
	key           state.Key
	tenant, group string
	replica       *replica.Partition
	epoch         int32             // the leader epoch that it lives in
	loaded        chan struct{}     // closed when core is there, or fault
	users         map[*Session]bool // guarded by the manager's mu

	mu         sync.Mutex // guards what follows
	core       *delivery.Partition
	stateEpoch int32
	fault      *kerr.Error        // why it cannot be used any more; nil: it can
	queued     []chan *kerr.Error // acknowledgements that the next write takes
	writing    bool
	watchers   map[*replica.Waiter]struct{} // fetches that wait for records to become available
	timer      *time.Timer                  // the next lock that ends
	settings   Settings
	settingsAt time.Time
}

func newPartition(m *Manager, s *Session, k state.Key, r *replica.Partition, epoch int32) *partition {
	return &partition{
		m: m, key: k, tenant: s.tenant, group: s.group, replica: r, epoch: epoch,
		loaded: make(chan struct{}), users: map[*Session]bool{}, watchers: map[*replica.Waiter]struct{}{},
	}
}

// load asks the coordinator where the group is, and decides where it begins if it is nowhere yet.
func (p *partition) load() {
	ctx, cancel := context.WithTimeout(p.m.ctx, stateTimeout)
	defer cancel()
	core, stateEpoch, err := p.read(ctx)
	p.mu.Lock()
	if err != nil && p.fault == nil {
		p.fault = faultOf(err)
		p.m.cfg.Logger.Warn("cannot load a share partition", "group", p.group, "partition", p.replica.Name(), "err", err)
	}
	p.core, p.stateEpoch = core, stateEpoch
	close(p.loaded)
	p.wakeLocked()
	p.mu.Unlock()
	p.m.retire(p)
}

func (p *partition) read(ctx context.Context) (*delivery.Partition, int32, error) {
	known, err := p.m.cfg.States.Read(ctx, p.key, p.epoch)
	if err != nil {
		return nil, 0, err
	}
	if known.Start >= 0 {
		return delivery.New(known.Start, known.Batches), known.StateEpoch, nil
	}
	start, err := p.begin(ctx)
	if err != nil {
		return nil, 0, err
	}
	// Kafka decides anew after each failover until something was acknowledged; so records between two decisions are lost.
	if err := p.m.cfg.States.Write(ctx, p.key, known.StateEpoch, p.epoch, delivery.Write{Start: start}); err != nil {
		return nil, 0, err
	}
	return delivery.New(start, nil), known.StateEpoch, nil
}

// begin finds where the group begins by share.auto.offset.reset.
func (p *partition) begin(ctx context.Context) (int64, error) {
	for !p.replica.HighWatermarkKnown() {
		select {
		case <-ctx.Done():
			return 0, kerr.CoordinatorNotAvailable
		case <-time.After(10 * time.Millisecond):
		}
	}
	if _, err := p.replica.OpenLog(); err != nil {
		return 0, err
	}
	earliest, back := p.m.cfg.Settings(p.tenant, p.group).begin()
	if earliest {
		return p.replica.LogStartOffset(), nil
	}
	if l := p.replica.Log(); l != nil && back > 0 {
		found, ok, err := l.OffsetForTimestamp(p.m.cfg.Clock().Add(-back).UnixMilli())
		if err != nil || ok && found.Offset < p.replica.HighWatermark() {
			return found.Offset, err
		}
	}
	return p.replica.HighWatermark(), nil
}

// faultOf is what consumers are told of an error of the coordinator, as Kafka's SharePartition.fetchPersisterError does.
func faultOf(err error) *kerr.Error {
	var known *kerr.Error
	if !errors.As(err, &known) {
		return kerr.UnknownServerError
	}
	switch known {
	case kerr.NotCoordinator, kerr.CoordinatorLoadInProgress:
		return kerr.CoordinatorNotAvailable
	case kerr.FencedLeaderEpoch, kerr.FencedStateEpoch:
		return kerr.NotLeaderForPartition
	case kerr.InvalidRequest: // the group has no state here: it was deleted, or is not initialized yet
		return kerr.UnknownTopicOrPartition
	}
	return known
}

// isLoaded reports whether the state is there, or why it is not is known.
func (p *partition) isLoaded() bool {
	select {
	case <-p.loaded:
		return true
	default:
		return false
	}
}

func (p *partition) isDropped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault != nil
}

// isIdle reports that nothing is to be written, and nothing being loaded.
func (p *partition) isIdle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.writing && len(p.queued) == 0 && p.core != nil
}

// drop ends the share partition: whoever waits is told.
func (p *partition) drop(fault *kerr.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropLocked(fault)
}

func (p *partition) dropLocked(fault *kerr.Error) {
	if p.fault == nil {
		p.fault = fault
	}
	for _, answer := range p.queued {
		answer <- p.fault
	}
	p.queued = nil
	if p.timer != nil {
		p.timer.Stop()
	}
	p.wakeLocked()
}

// current returns the group's settings, a second old at most.
func (p *partition) current() Settings {
	if now := p.m.cfg.Clock(); p.settingsAt.IsZero() || now.Sub(p.settingsAt) >= settingsMaxAge {
		p.settings, p.settingsAt = p.m.cfg.Settings(p.tenant, p.group), now
	}
	return p.settings
}

func (p *partition) watch(w *replica.Waiter) {
	p.mu.Lock()
	p.watchers[w] = struct{}{}
	p.mu.Unlock()
}

func (p *partition) unwatch(w *replica.Waiter) {
	p.mu.Lock()
	delete(p.watchers, w)
	p.mu.Unlock()
}

// wakeLocked has those who wait for records look again.
func (p *partition) wakeLocked() {
	for w := range p.watchers {
		select {
		case w.C <- struct{}{}:
		default:
		}
	}
}

// setTimerLocked makes sure that locks end in time. One that fires too early is harmless.
func (p *partition) setTimerLocked() {
	at, ok := p.core.NextDeadline()
	if !ok || p.fault != nil {
		return
	}
	wait := max(at.Sub(p.m.cfg.Clock()), time.Millisecond)
	if p.timer == nil {
		p.timer = time.AfterFunc(wait, p.expire)
	} else {
		p.timer.Reset(wait)
	}
}

// expire ends the locks that are over.
func (p *partition) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault != nil || p.core == nil {
		return
	}
	if n := p.core.Expire(p.current().Limits, p.m.cfg.Clock()); n > 0 {
		p.m.metrics.expired.Add(float64(n))
		p.flushLocked()
		p.wakeLocked()
	}
	p.setTimerLocked()
}

// release gives back what a member holds whose session has ended.
func (p *partition) release(member string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault == nil && p.core != nil && p.core.ReleaseMember(member, p.current().Limits) {
		p.flushLocked()
		p.wakeLocked()
	}
}

// acknowledge notes what a member says. The answer comes once it is written.
func (p *partition) acknowledge(member string, said []delivery.Acknowledgement) (answer chan *kerr.Error, fault *kerr.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault != nil {
		return nil, p.fault
	}
	if p.replica.LeaderEpoch() != p.epoch {
		return nil, kerr.NotLeaderForPartition
	}
	if p.core == nil {
		return nil, kerr.InvalidRecordState // nothing was delivered in this epoch
	}
	decided, err := p.core.Acknowledge(member, said, p.current().Limits, p.m.cfg.Clock())
	if err != nil {
		return nil, refusalOf(err)
	}
	p.m.metrics.acknowledge(said)
	p.setTimerLocked()
	if !decided {
		return nil, nil
	}
	answer = make(chan *kerr.Error, 1)
	p.queued = append(p.queued, answer)
	p.flushLocked()
	return answer, nil
}

// refusalOf is the protocol's error of a refused acknowledgement.
func refusalOf(err error) *kerr.Error {
	var known *kerr.Error
	if errors.As(err, &known) {
		return known
	}
	return kerr.UnknownServerError
}

// flushLocked writes what was decided, unless a write is under way: that one's end comes back here.
func (p *partition) flushLocked() {
	if p.writing || p.fault != nil {
		return
	}
	answers := p.queued
	p.queued = nil
	w, ok := p.core.Take()
	if !ok { // all of it was below the start
		for _, answer := range answers {
			answer <- nil
		}
		return
	}
	stateEpoch := p.stateEpoch
	p.writing = p.m.start(func() { p.write(w, stateEpoch, answers) })
	if !p.writing { // the manager is closed
		p.core.Settle(false)
		for _, answer := range answers {
			answer <- kerr.NotLeaderForPartition
		}
	}
}

// write is one write; it ends with the coordinator's answer, stateTimeout or the manager.
func (p *partition) write(w delivery.Write, stateEpoch int32, answers []chan *kerr.Error) {
	ctx, cancel := context.WithTimeout(p.m.ctx, stateTimeout)
	err := p.m.cfg.States.Write(ctx, p.key, stateEpoch, p.epoch, w)
	cancel()
	p.written(err, answers)
}

func (p *partition) written(err error, answers []chan *kerr.Error) {
	var fault *kerr.Error
	if err != nil {
		fault = faultOf(err)
	}
	p.mu.Lock()
	p.writing = false
	if p.core.Settle(err == nil) {
		p.wakeLocked()
	}
	for _, answer := range answers {
		answer <- fault
	}
	switch {
	case fault == kerr.NotLeaderForPartition || fault == kerr.UnknownTopicOrPartition:
		p.dropLocked(fault) // another leader, or another beginning of the group, has taken over
	case err != nil:
		p.m.metrics.failedWrites.Inc()
		p.m.cfg.Logger.Warn("cannot write the state of a share partition", "group", p.group, "partition", p.replica.Name(), "err", err)
		p.setTimerLocked() // the locks go on; what is unsaved is written with the next decision
	default:
		p.flushLocked()
		p.setTimerLocked()
	}
	p.mu.Unlock()
	p.m.retire(p)
}
