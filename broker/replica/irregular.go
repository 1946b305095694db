package replica

import "github.com/millrace-io/millrace/broker/log"

// watchDir takes the partitions of a directory offline when it fails; those of other directories go on.
func (m *Manager) watchDir(dir *log.Dir) {
	select {
	case <-m.ended:
		return
	case <-dir.Failed():
	}
	m.cfg.Logger.Error("log directory offline", "path", dir.Path(), "error", dir.Err())
	all := m.Partitions()
	for _, p := range all {
		if l := p.log.Load(); l != nil && l.Dir() == dir {
			p.takeOffline(storageError(dir.Err()))
		}
	}
	for _, p := range all { // and those whose logs were being opened, which may take long
		if p.in(dir) {
			p.takeOffline(storageError(dir.Err()))
		}
	}
	m.mu.Lock()
	m.givenUp[dir] = true
	m.mu.Unlock()
	m.tellOffline()
}

// watchRoom tells when a directory becomes full, or has room again: its replicas may have to leave the in-sync sets, or may
// come back.
func (m *Manager) watchRoom(dir *log.Dir) {
	for {
		changed := dir.RoomChanged()
		if dir.Full() {
			m.someIrregular.Store(true)
		}
		if m.cfg.Offline != nil {
			m.cfg.Offline()
		}
		select {
		case <-m.ended:
			return
		case <-changed:
		}
	}
}

// in reports whether the partition's log is in a directory, or is to be.
func (p *Partition) in(dir *log.Dir) bool {
	p.opening.Lock()
	defer p.opening.Unlock()
	return p.dir == dir
}

// GivenUp reports whether a directory has failed and Irregular has every partition in it.
func (m *Manager) GivenUp(dir *log.Dir) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.givenUp[dir]
}

// tellOffline says that Irregular may have one more.
func (m *Manager) tellOffline() {
	m.someIrregular.Store(true)
	if m.cfg.Offline != nil {
		m.cfg.Offline()
	}
}

// Offline returns the partitions whose logs on this broker cannot be used.
func (m *Manager) Offline() []*Partition {
	return m.irregular(func(p *Partition) bool { return p.logErr() != nil })
}

// Irregular returns the partitions whose logs on this broker cannot be used or cannot grow, and those of which the metadata
// says so.
func (m *Manager) Irregular() []*Partition {
	return m.irregular(func(p *Partition) bool {
		s := p.leadership.Load()
		return p.logErr() != nil || s != nil && s.Lost(m.cfg.NodeID) || p.Full()
	})
}

func (m *Manager) irregular(is func(*Partition) bool) (found []*Partition) {
	if !m.someIrregular.Load() {
		return nil
	}
	for _, p := range m.Partitions() {
		if is(p) {
			found = append(found, p)
		}
	}
	return found
}

// Gone reports that the partition's log, which existed before the start, is not there any more.
func (p *Partition) Gone() bool { return p.gone.Load() }

// Offline reports that the partition's log cannot be used.
func (p *Partition) Offline() bool { return p.logErr() != nil }

// Full reports that the disk refuses what would be appended to the partition.
func (p *Partition) Full() bool {
	dir := p.Directory()
	return dir != nil && dir.Full()
}

// Directory returns the log directory that the partition's log is in, or would be made in now; nil when none works.
func (p *Partition) Directory() *log.Dir {
	if l := p.log.Load(); l != nil {
		return l.Dir()
	}
	p.manager.mu.RLock()
	defer p.manager.mu.RUnlock()
	return p.manager.bestDirLocked()
}
