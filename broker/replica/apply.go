package replica

import (
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
)

// Apply follows one change of the metadata. Deltas come in order, from one goroutine. When it returns, partitions that the
// delta created can be used.
func (m *Manager) Apply(delta *image.Delta) {
	first := m.begin(delta)
	var changed []roleChange
	for _, change := range delta.Topics {
		switch {
		case change.After == nil:
			m.remove(change.Before.ID)
		case change.Before != nil && change.Before.ID != change.After.ID:
			m.remove(change.Before.ID)
			changed = m.put(change, first, changed)
		default:
			changed = m.put(change, first, changed)
		}
	}
	m.reconfigure(delta)
	m.openAll(changed)
	for _, c := range changed {
		c.partition.assume(c.state)
	}
	m.followBrokers(delta)
	m.fetchers.tell()
	m.removeStrays()
}

// roleChange is a partition whose state the delta has changed.
type roleChange struct {
	partition *Partition
	state     *image.Partition
	found     bool // it is on disk and its log is not open
}

func (m *Manager) begin(delta *image.Delta) (first bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.see(delta.To)
	first = !m.initialized
	m.initialized = true
	if own := delta.To.Broker(m.cfg.NodeID); first && own != nil {
		m.lacksDirs = slices.ContainsFunc(own.Directories, func(id [16]byte) bool { return !m.hasDir(id) })
	}
	return first
}

// hasDir reports whether a log directory was opened at the start.
func (m *Manager) hasDir(id [16]byte) bool {
	return slices.ContainsFunc(m.cfg.Dirs, func(d *log.Dir) bool { return d.ID() == id })
}

// put makes or updates a topic and adds its partitions of this broker whose state changes.
func (m *Manager) put(change image.TopicChange, first bool, changed []roleChange) []roleChange {
	after := change.After
	t := m.TopicByID(after.ID)
	isNew := t == nil
	if isNew {
		t = &Topic{ID: after.ID, Tenant: after.Tenant, Name: after.Name, Internal: after.Internal}
		t.settings.Store(m.resolve(after))
		t.partitions.Store(new([]*Partition))
	}
	old := *t.partitions.Load()
	next := slices.Grow(slices.Clone(old), after.PartitionCount()-len(old))[:after.PartitionCount()]
	clear(next[len(old):])
	var gone []*Partition
	for _, number := range change.Partitions {
		state := after.Partition(number)
		p := next[number]
		if !m.hosts(state) {
			if p != nil {
				gone = append(gone, p)
				next[number] = nil
			}
			continue
		}
		found := false
		if p == nil {
			p = &Partition{Topic: t, Number: number, manager: m, name: t.Name + "-" + strconv.Itoa(int(number))}
			next[number] = p
			found = m.claim(p, state, first)
		} else if p.gone.Load() && !state.CountsOn(m.cfg.NodeID) {
			p.beginAnew()
		}
		if state.Lost(m.cfg.NodeID) {
			m.someIrregular.Store(true)
		}
		changed = append(changed, roleChange{p, state, found})
	}
	t.partitions.Store(&next)
	if isNew {
		m.know(t)
	}
	for _, p := range gone { // moved to other brokers
		m.cfg.Logger.Info("removing a replica that was moved away", "topic", t.Name, "partition", p.Number)
		p.remove()
	}
	return changed
}

func (m *Manager) know(t *Topic) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.byID[t.ID] = t
	names := m.byName[t.Tenant]
	if names == nil {
		names = map[string]*Topic{}
		m.byName[t.Tenant] = names
	}
	names[t.Name] = t
}

// followBrokers looks anew at who may be in sync, where brokers have come, gone or changed.
func (m *Manager) followBrokers(delta *image.Delta) {
	if m.cfg.Controller == nil || len(delta.Brokers) == 0 {
		return
	}
	for _, p := range m.Partitions() {
		if s := p.leadership.Load(); p.Leads() && slices.ContainsFunc(delta.Brokers, func(id int32) bool { return slices.Contains(s.Replicas, id) }) {
			p.considerProposal()
		}
	}
}

// claim gives a partition the directory that holds it; it reports whether one does. One that existed before the start and is
// in none was never written to, unless a directory is missing: then it is offline. Where that one may come back it stays so;
// else its log is gone, and it begins anew as soon as nobody counts on it.
func (m *Manager) claim(p *Partition, state *image.Partition, first bool) bool {
	key := diskKey{log.TopicID(p.Topic.ID), p.Number}
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, ok := m.onDisk[key]
	if ok {
		delete(m.onDisk, key)
		m.dirLoad[dir]++
		p.dir = dir
		return true
	}
	if gone := (m.lacksDirs || state.Lost(m.cfg.NodeID)) && state.CountsOn(m.cfg.NodeID); first && (m.cfg.MissingDirs || gone) {
		err := error(kerr.KafkaStorageError)
		p.gone.Store(!m.cfg.MissingDirs)
		p.offline.Store(&err)
		m.tellOffline()
	}
	return false
}

// beginAnew lets a partition whose log is gone begin with an empty one: the metadata says that nobody counts on it.
func (p *Partition) beginAnew() {
	p.manager.cfg.Logger.Info("a replica whose log is gone begins anew", "topic", p.Topic.Name, "partition", p.Number)
	p.gone.Store(false)
	p.offline.Store(nil)
}

// openAll opens logs, several at a time: after an unclean stop each may have to be recovered.
func (m *Manager) openAll(changed []roleChange) {
	var group errgroup.Group
	group.SetLimit(m.cfg.OpenConcurrency)
	for _, c := range changed {
		if !c.found {
			continue
		}
		group.Go(func() error {
			_, _ = c.partition.open(false) // what fails takes its partition offline and is logged there
			return nil
		})
	}
	_ = group.Wait()
}

func (m *Manager) remove(id image.TopicID) {
	m.mu.Lock()
	t := m.byID[id]
	delete(m.byID, id)
	if t != nil && m.byName[t.Tenant][t.Name] == t {
		delete(m.byName[t.Tenant], t.Name)
	}
	m.mu.Unlock()
	if t == nil {
		return
	}
	t.removed.Store(true)
	for _, p := range *t.partitions.Load() {
		if p != nil {
			p.remove()
		}
	}
}

// remove ends the partition and lets its directory be deleted.
func (p *Partition) remove() {
	p.manager.fetchers.unassign(p)
	p.removed.Store(true)
	p.role.Lock()
	p.mu.Lock()
	p.leadership.Store(nil)
	p.leader = nil
	p.mu.Unlock()
	p.role.Unlock()
	p.wakeAll()
	p.opening.Lock()
	defer p.opening.Unlock()
	dir := p.dir
	if dir == nil {
		return
	}
	p.manager.unload(dir)
	if err := dir.Remove(p.logName()); err != nil && dir.Err() == nil {
		p.manager.cfg.Logger.Error("removing a partition failed", "topic", p.Topic.Name, "partition", p.Number, "error", err)
	}
}

// removeStrays removes directories of partitions that were deleted or moved while this broker was away. It waits for an
// image that holds everything from before the start: an older one may not know of what was created later. An image
// without any topic is no such witness either: it may be that of a node that lost its metadata.
func (m *Manager) removeStrays() {
	img := m.current.Load().image
	m.mu.Lock()
	m.caughtUp = m.caughtUp || m.holdsOwnRegistration(img)
	if !m.caughtUp || len(m.onDisk) == 0 {
		m.mu.Unlock()
		return
	}
	strays := m.onDisk
	m.onDisk = map[diskKey]*log.Dir{}
	m.mu.Unlock()
	if img.TopicCount() == 0 {
		m.cfg.Logger.Warn("log directories hold partitions that the metadata does not know; they are left alone because the metadata has no topic at all", "partitions", len(strays))
		return
	}
	for _, dir := range m.cfg.Dirs {
		for _, tp := range dir.Partitions() {
			if strays[diskKey{tp.TopicID, tp.Partition}] != dir {
				continue
			}
			m.cfg.Logger.Info("removing a partition that is deleted or lies elsewhere", "topic", tp.Topic, "partition", tp.Partition)
			if err := dir.Remove(tp); err != nil {
				m.cfg.Logger.Error("removing a partition failed", "topic", tp.Topic, "partition", tp.Partition, "error", err)
			}
		}
	}
}

// holdsOwnRegistration says that the image is as new as this start of the broker: it holds the registration that was made
// since. A broker that is alone has read its whole log before it says anything.
func (m *Manager) holdsOwnRegistration(img *image.Image) bool {
	if m.cfg.Leaders == nil {
		return true
	}
	epoch, own := m.cfg.BrokerEpoch(), img.Broker(m.cfg.NodeID)
	return epoch >= 0 && own != nil && own.Epoch == epoch
}

// reconfigure gives topics their new settings.
func (m *Manager) reconfigure(delta *image.Delta) {
	for _, resource := range delta.Configs {
		switch resource.Type {
		case config.TopicResource:
			if t := delta.To.Topic(resource.TenantOrDefault(), resource.Name); t != nil {
				m.applySettings(t)
			}
		case config.BrokerResource:
			m.mu.Lock()
			m.defaults = nil
			m.mu.Unlock()
			m.configureThrottles(delta.To)
			m.cleaner.Configure(m.cleanerSettings(delta.To))
			m.scrubber.Configure(m.scrubSettings(delta.To))
			for t := range delta.To.AllTopics() {
				m.applySettings(t)
			}
		}
	}
}

func (m *Manager) applySettings(after *image.Topic) {
	t := m.TopicByID(after.ID)
	if t == nil {
		return
	}
	settings := m.resolve(after)
	t.settings.Store(settings)
	for _, p := range *t.partitions.Load() {
		if p == nil {
			continue
		}
		l := p.log.Load()
		if l != nil {
			l.SetConfig(settings.Log)
		}
		p.configured(l) // write.caching may have changed
		if s := p.leadership.Load(); p.fetcher != nil && s != nil {
			m.fetchers.assign(p, s)
		}
		p.tellSessions(newsBytes, false) // whom a throttle held back
	}
}

// resolve returns a topic's settings; topics without overrides share theirs.
func (m *Manager) resolve(t *image.Topic) *Settings {
	img := m.current.Load().image
	m.mu.Lock()
	defaults := m.defaults
	m.mu.Unlock()
	if len(t.Config) > 0 {
		s := newSettings(m.cfg.Settings.TopicSettings(img, t.Config))
		s.throttledLeaders = parseThrottled(t.Config["leader.replication.throttled.replicas"])
		s.throttledFollowers = parseThrottled(t.Config["follower.replication.throttled.replicas"])
		return s
	}
	if defaults == nil {
		defaults = newSettings(m.cfg.Settings.TopicSettings(img, nil))
		m.mu.Lock()
		m.defaults = defaults
		m.mu.Unlock()
	}
	return defaults
}
