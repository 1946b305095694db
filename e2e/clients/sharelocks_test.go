//go:build e2e

package clients

import (
	"fmt"
	"time"
)

// outlast has p hold a record until its lock is over: q gets it with a higher delivery count, and what p says of it then is
// refused. Where the client can renew, p keeps one for longer than its lock, and r gets nothing of it.
func outlast(c *cell, s *sharers) error {
	topic, group, taken := c.topic+".locks", c.group+".locks", 0
	join := func(name string) func() error {
		return func() error { _, err := s.do("join %s explicit %s %s", name, group, topic); return err }
	}
	err := inTurn(
		func() error { return createTopic(c, topic, 1) },
		func() error {
			return configureGroup(c, group, "share.auto.offset.reset", "earliest", "share.record.lock.duration.ms", fmt.Sprint(lockedFor.Milliseconds()))
		},
		func() error { return send(c, topic, 1, "late") },
		join("p"),
		func() error { _, err := s.holds("p", "late", 1); return err },
		join("q"),
		func() (err error) { taken, err = s.holds("q", "late", 2); return err },
		func() error { return s.refused("p", "late") },
		func() (err error) { taken, err = s.accepts("q", "late", taken); return err },
		func() error { _, err := s.do("leave q"); return err },
	)
	if err != nil || c.client.lacks["renew"] != "" {
		return err
	}
	return inTurn(func() error { return send(c, topic, 1, "kept") }, func() error { return renew(s, join("r"), taken) })
}

// lockedFor is how long a record is held in the group of outlast.
const lockedFor = 3 * time.Second

// renew has p hold a record for twice its lock. On a slow machine a renewal may come too late, which is refused: then the
// record comes again, and so does this. Accepted is how often "late" had been delivered when it was accepted.
func renew(s *sharers, another func() error, accepted int) error {
	var told error
	for range 5 {
		if told = inTurn(func() error { return s.holdsPast("p", "late", accepted, "kept") }, another); told != nil {
			return told
		}
		for range 4 {
			time.Sleep(lockedFor / 2)
			if told = s.answers("p", "kept", "renew"); told != nil {
				break
			}
			if keys, _, err := s.poll("r"); err != nil || len(keys) > 0 {
				return fmt.Errorf("r got %v, which p had renewed: %w", keys, err)
			}
		}
		if told == nil {
			told = s.answers("p", "kept", "accept")
		}
		if _, err := s.do("leave r"); told == nil || err != nil {
			return err
		}
	}
	return fmt.Errorf("no renewal was in time: %w", told)
}

// refused has a member accept what it does not hold any more.
func (s *sharers) refused(name, key string) error {
	if _, err := s.do("ack %s %s accept", name, key); err != nil {
		return err
	}
	words, err := s.do("commit %s", name)
	if err == nil && words[0] != "refused" {
		err = fmt.Errorf("%s accepted %s, which another one held: %v", name, key, words)
	}
	return err
}

// accepts has a member accept what it holds, and again should the lock be over before that. It returns how often the record had
// been delivered by then.
func (s *sharers) accepts(name, key string, count int) (int, error) {
	for range 5 {
		err := s.answers(name, key, "accept")
		if err == nil {
			return count, nil
		}
		if count, err = s.holds(name, key, 2); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("%s never accepted %s in time", name, key)
}

// holdsPast polls until the member has that record. Its client may have fetched an older one ahead, while it was nobody's: then
// that was delivered to it before it was to who accepted it. (What it says of that now means nothing to the broker, whose
// group is past it: SharePartition.acknowledge of Kafka passes over it, too.)
func (s *sharers) holdsPast(name, older string, accepted int, want string) error {
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); {
		keys, counts, err := s.poll(name)
		if err != nil {
			return err
		}
		if len(keys) > 0 && keys[0] == older && counts[0] < accepted {
			keys = keys[1:]
		}
		if len(keys) == 1 && keys[0] == want {
			return nil
		}
		if len(keys) > 0 {
			return fmt.Errorf("%s got %v, delivered %v times, want %s; %s was accepted at its delivery %d", name, keys, counts, want, older, accepted)
		}
	}
	return fmt.Errorf("%s waited for %s", name, want)
}
