package replica

import "github.com/twmb/franz-go/pkg/kerr"

// A broker whose disk takes no more of the metadata has an old image: it says that this broker leads what others lead by
// now. It asks to be fenced, and once it is, it appends nothing as a leader, and nobody waits here for what was appended.

// deposed says why nothing may be appended by a leader that the image still has.
func (m *Manager) deposed() error {
	if m.cfg.Deposed != nil && m.cfg.Deposed() {
		return kerr.NotLeaderForPartition
	}
	return nil
}

// Deposed looks whether all leaderships have been ended, and if so wakes everybody who waits here.
func (m *Manager) Deposed() {
	if m.deposed() == nil {
		return
	}
	for _, p := range m.Partitions() {
		p.wakeAll()
	}
}
