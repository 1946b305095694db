package txn

import (
	"time"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// Replay implements coordinator.Shard: the only place where states change, live and at load.
func (s *shard) Replay(record coordinator.Record) error {
	k, known, err := parseKey(record.Key)
	if err != nil || !known {
		return err
	}
	t := s.transactions[k]
	if record.Value == nil {
		if t != nil {
			s.remove(t)
			s.keep(func() { s.insert(t) })
		}
		return nil
	}
	next, err := parseState(record.Value)
	if err != nil {
		return err
	}
	if t == nil {
		t = &transaction{key: k, state: next, alarm: alarm{index: -1}}
		s.insert(t)
		s.keep(func() { s.remove(t) })
		return nil
	}
	before := t.state
	s.set(t, next)
	s.keep(func() { s.set(t, before) })
	return nil
}

func (s *shard) set(t *transaction, next state) {
	s.figures.transactions[t.state.status]--
	t.state = next
	s.figures.transactions[next.status]++
	s.watch(t)
}

func (s *shard) insert(t *transaction) {
	s.transactions[t.key] = t
	s.figures.transactions[t.state.status]++
	s.watch(t)
}

func (s *shard) remove(t *transaction) {
	delete(s.transactions, t.key)
	s.figures.transactions[t.state.status]--
	s.alarms.cancel(t)
}

func (s *shard) keep(undo func()) {
	if s.keeping {
		s.journal = append(s.journal, undo)
	}
}

// Begin implements coordinator.Shard.
func (s *shard) Begin() { s.keeping = true }

// Commit implements coordinator.Shard.
func (s *shard) Commit() {
	clear(s.journal)
	s.journal, s.keeping = s.journal[:0], false
}

// Rollback implements coordinator.Shard.
func (s *shard) Rollback() {
	s.keeping = false
	for i := len(s.journal) - 1; i >= 0; i-- {
		s.journal[i]()
	}
	clear(s.journal)
	s.journal = s.journal[:0]
}

// Loaded implements coordinator.Shard. Decisions that are not complete are taken up by the first tick, which waits until they
// are known to be committed.
func (s *shard) Loaded(now time.Time) {
	s.resumeAt = now
	s.sweepAt = now.Add(millis(s.settings().IDExpirationCheckMillis))
}

// Elected implements coordinator.Elected.
func (s *shard) Elected(leaderEpoch int32) { s.leaderEpoch = leaderEpoch }
