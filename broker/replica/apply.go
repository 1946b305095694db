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
	var found []*Partition
	for _, change := range delta.Topics {
		switch {
		case change.After == nil:
			m.remove(change.Before.ID)
		case change.Before != nil && change.Before.ID != change.After.ID:
			m.remove(change.Before.ID)
			found = append(found, m.put(change.After, first)...)
		default:
			found = append(found, m.put(change.After, first)...)
		}
	}
	m.reconfigure(delta)
	m.openAll(found)
	if first {
		m.removeStrays()
	}
}

func (m *Manager) begin(delta *image.Delta) (first bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.image = delta.To
	first = !m.initialized
	m.initialized = true
	return first
}

// put makes or updates a topic and returns its partitions that are on disk and not open.
func (m *Manager) put(after *image.Topic, first bool) (found []*Partition) {
	t := m.TopicByID(after.ID)
	isNew := t == nil
	if isNew {
		t = &Topic{ID: after.ID, Tenant: after.Tenant, Name: after.Name, Internal: after.Internal}
		t.settings.Store(m.resolve(after))
		t.partitions.Store(new([]*Partition))
	}
	old := *t.partitions.Load()
	next := slices.Grow(slices.Clone(old), after.PartitionCount()-len(old))
	for number, state := range after.Partitions() {
		if int(number) >= len(next) {
			next = append(next, nil)
		}
		if !slices.Contains(state.Replicas, m.cfg.NodeID) {
			continue
		}
		p := next[number]
		if p == nil {
			p = &Partition{Topic: t, Number: number, manager: m, name: t.Name + "-" + strconv.Itoa(int(number))}
			next[number] = p
			if m.claim(p, first) {
				found = append(found, p)
			}
		}
		p.leadership.Store(state)
	}
	t.partitions.Store(&next)
	if isNew {
		m.mu.Lock()
		m.byID[t.ID] = t
		names := m.byName[t.Tenant]
		if names == nil {
			names = map[string]*Topic{}
			m.byName[t.Tenant] = names
		}
		names[t.Name] = t
		m.mu.Unlock()
	}
	return found
}

// claim gives a partition the directory that holds it; it reports whether one does.
func (m *Manager) claim(p *Partition, first bool) bool {
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
	if first && m.cfg.MissingDirs {
		err := error(kerr.KafkaStorageError)
		p.offline.Store(&err)
	}
	return false
}

// openAll opens logs, several at a time: after an unclean stop each may have to be recovered.
func (m *Manager) openAll(found []*Partition) {
	var group errgroup.Group
	group.SetLimit(m.cfg.OpenConcurrency)
	for _, p := range found {
		group.Go(func() error {
			_, _ = p.open(false) // what fails takes its partition offline and is logged there
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
	p.leadership.Store(nil)
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

// removeStrays removes directories of topics that were deleted while this broker was away. An image without any topic is
// no such witness: it may be that of a node that lost its metadata.
func (m *Manager) removeStrays() {
	m.mu.Lock()
	strays := m.onDisk
	m.onDisk = map[diskKey]*log.Dir{}
	topics := m.image.TopicCount()
	m.mu.Unlock()
	if len(strays) == 0 {
		return
	}
	if topics == 0 {
		m.cfg.Logger.Warn("log directories hold partitions that the metadata does not know; they are left alone because the metadata has no topic at all", "partitions", len(strays))
		return
	}
	for _, dir := range m.cfg.Dirs {
		for _, tp := range dir.Partitions() {
			if strays[diskKey{tp.TopicID, tp.Partition}] != dir {
				continue
			}
			m.cfg.Logger.Info("removing a partition of a deleted topic", "topic", tp.Topic, "partition", tp.Partition)
			if err := dir.Remove(tp); err != nil {
				m.cfg.Logger.Error("removing a partition failed", "topic", tp.Topic, "partition", tp.Partition, "error", err)
			}
		}
	}
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
		if l := p.log.Load(); l != nil {
			l.SetConfig(settings.Log)
			p.becomeLeader(l) // write.caching may have changed
		}
	}
}

// resolve returns a topic's settings; topics without overrides share theirs.
func (m *Manager) resolve(t *image.Topic) *Settings {
	m.mu.Lock()
	img, defaults := m.image, m.defaults
	m.mu.Unlock()
	if len(t.Config) > 0 {
		return newSettings(m.cfg.Settings.TopicSettings(img, t.Config))
	}
	if defaults == nil {
		defaults = newSettings(m.cfg.Settings.TopicSettings(img, nil))
		m.mu.Lock()
		m.defaults = defaults
		m.mu.Unlock()
	}
	return defaults
}
