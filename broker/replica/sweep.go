package replica

import (
	"time"

	"github.com/millrace-io/millrace/broker/log"
)

// sweep applies retention to all partitions, led here or followed, one after the other.
func (m *Manager) sweep() {
	ticker := time.NewTicker(m.cfg.RetentionCheckInterval)
	defer ticker.Stop()
	for {
		select {
		case <-m.ended:
			return
		case <-ticker.C:
			m.applyRetention()
		}
	}
}

func (m *Manager) applyRetention() {
	for _, p := range m.Partitions() {
		l := p.log.Load()
		if l == nil || p.ReadErr() != nil {
			continue
		}
		segments, bytes, err := l.ApplyRetention(p.HighWatermark())
		if err != nil {
			_ = p.failed(err)
			m.cfg.Logger.Error("retention failed", "topic", p.Topic.Name, "partition", p.Number, "error", err)
			continue
		}
		if segments > 0 {
			p.tellSessions(newsWatermark, false)
			m.cfg.Logger.Info("segments deleted by retention", "topic", p.Topic.Name, "partition", p.Number, "segments", segments, "bytes", bytes)
		}
		select {
		case <-m.ended:
			return
		default:
		}
	}
}

// chooseDir returns the directory for one more partition and counts it there; nil when none works.
func (m *Manager) chooseDir() *log.Dir {
	m.mu.Lock()
	defer m.mu.Unlock()
	best := m.bestDirLocked()
	if best != nil {
		m.dirLoad[best]++
	}
	return best
}

// bestDirLocked is the working directory with the fewest partitions, of those that are not full if there is one. The caller
// holds mu.
func (m *Manager) bestDirLocked() (best *log.Dir) {
	for _, dir := range m.cfg.Dirs {
		switch {
		case dir.Err() != nil:
		case best == nil, best.Full() && !dir.Full():
			best = dir
		case best.Full() == dir.Full() && m.dirLoad[dir] < m.dirLoad[best]:
			best = dir
		}
	}
	return best
}

func (m *Manager) unload(dir *log.Dir) {
	m.mu.Lock()
	m.dirLoad[dir]--
	m.mu.Unlock()
}
