package broker

import (
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// strangers remembers which other nodes do not have this node's cluster.token. Whoever is refused for it tries again in silence;
// an operator must find the reason on the node that does not come up, not only on those that refuse it.
type strangers struct {
	clock  func() time.Time
	logger *slog.Logger

	mu   sync.Mutex
	seen map[string]time.Time // guarded by mu: by address, when it last refused this node
}

const (
	strangerFor    = 30 * time.Second // a refusal counts so long: nodes that are not answered dial many times a second
	mostStrangers  = 64
	strangersFixed = "cluster.token of this node is not that of the node at %s"
)

func newStrangers(clock func() time.Time, logger *slog.Logger) *strangers {
	return &strangers{clock: clock, logger: logger, seen: map[string]time.Time{}}
}

// refused notes that the node at an address has another token.
func (s *strangers) refused(address string) {
	now := s.clock()
	s.mu.Lock()
	last, known := s.seen[address]
	if known || len(s.seen) < mostStrangers {
		s.seen[address] = now
	}
	s.mu.Unlock()
	if !known || now.Sub(last) > strangerFor {
		s.logger.Error("refused by another node of the cluster: cluster.token of the two differs", "address", address)
	}
}

// fault tells who has refused this node lately; nil if nobody has.
func (s *strangers) fault() error {
	now := s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for address, last := range s.seen {
		if now.Sub(last) <= strangerFor {
			return fmt.Errorf(strangersFixed, address)
		}
	}
	return nil
}
