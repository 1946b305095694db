package state

import (
	"time"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// Replay implements coordinator.Shard: the only place where states change, live and at load.
func (s *shard) Replay(record coordinator.Record) error {
	kind, key, known, err := parseKey(record.Key)
	if err != nil || !known {
		return err
	}
	switch {
	case record.Value == nil:
		s.set(key, nil)
	case kind == snapshotKey:
		next, err := parseSnapshot(record.Value)
		if err != nil {
			return err
		}
		if before := s.states[key]; before != nil { // a snapshot that is made of old knowledge cannot take epochs back
			next.leaderEpoch, next.stateEpoch = max(next.leaderEpoch, before.leaderEpoch), max(next.stateEpoch, before.stateEpoch)
		}
		s.set(key, next)
	default:
		u, err := parseUpdate(record.Value)
		if err != nil {
			return err
		}
		before := s.states[key]
		if before == nil { // its snapshot was deleted with the log before; what follows does without
			before = &partitionState{start: -1, through: -1, leaderEpoch: -1}
		}
		s.set(key, before.apply(u))
	}
	s.changed = true
	return nil
}

func (s *shard) set(key Key, next *partitionState) {
	if s.keeping {
		s.journal = append(s.journal, undo{key, s.states[key]})
	}
	s.put(key, next)
}

func (s *shard) put(key Key, next *partitionState) {
	if next == nil {
		delete(s.states, key)
	} else {
		s.states[key] = next
	}
}

// Placed implements coordinator.Placed: where snapshots lie says what of the log is still needed.
func (s *shard) Placed(record coordinator.Record, offset int64) {
	s.end = offset + 1
	kind, key, known, err := parseKey(record.Key)
	if err != nil || !known {
		return
	}
	if record.Value == nil {
		delete(s.places, key)
	} else if _, placed := s.places[key]; kind == snapshotKey || !placed {
		s.places[key] = offset
	}
}

// Begin implements coordinator.Shard.
func (s *shard) Begin() { s.keeping = true }

// Commit implements coordinator.Shard.
func (s *shard) Commit() { s.journal, s.keeping = s.journal[:0], false }

// Rollback implements coordinator.Shard.
func (s *shard) Rollback() {
	for i := len(s.journal) - 1; i >= 0; i-- {
		s.put(s.journal[i].key, s.journal[i].before)
	}
	s.journal, s.keeping = s.journal[:0], false
}

// Loaded implements coordinator.Shard.
func (s *shard) Loaded(now time.Time) { s.look = now.Add(s.settings().ColdSnapshotInterval) }

// NextDeadline implements coordinator.Shard.
func (s *shard) NextDeadline() (time.Time, bool) { return s.look, s.changed && len(s.states) > 0 }

// Settled implements coordinator.Shard; whoever counts wraps the shard.
func (s *shard) Settled() {}

// Closed implements coordinator.Shard.
func (s *shard) Closed() {}
