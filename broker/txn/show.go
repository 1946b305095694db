package txn

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Description is what is known of a transactional id.
type Description struct {
	TransactionalID string
	Producer        Producer
	Status          string // by Kafka's name
	TimeoutMillis   int32
	StartMillis     int64 // -1: no transaction was begun
	Partitions      map[string][]int32
}

// Filter says which transactions are listed: those in one of the states, of one of the producers, running for longer than the
// duration, whose ids match. What is not given lets all through.
type Filter struct {
	States         []string
	ProducerIDs    []int64
	DurationMillis int64
	Matches        func(transactionalID string) bool
}

// listRequest asks for the transactions of a tenant.
type listRequest struct {
	tenant string
	filter Filter
}

// describeRequest asks for one transactional id.
type describeRequest struct{ key key }

func (s *shard) list(e listRequest, now time.Time) []Description {
	var all []Description
	for _, t := range s.sorted() {
		if t.key.tenant == e.tenant && e.filter.admits(t, now) {
			all = append(all, t.describe())
		}
	}
	return all
}

func (f Filter) admits(t *transaction, now time.Time) bool {
	s := t.shown()
	switch {
	case len(f.States) > 0 && !slices.Contains(f.States, s.status.String()):
		return false
	case len(f.ProducerIDs) > 0 && !slices.Contains(f.ProducerIDs, s.producerID):
		return false
	case f.DurationMillis >= 0 && now.UnixMilli()-s.startMillis <= f.DurationMillis:
		return false
	}
	return f.Matches == nil || f.Matches(t.key.id)
}

// describe answers a Description or a refusal.
func (s *shard) describe(e describeRequest) any {
	if t := s.transactions[e.key]; t != nil {
		return t.describe()
	}
	return refused{kerr.TransactionalIDNotFound}
}

// shown is the state as others see it: a transaction that has its markers is complete, whenever that is written.
func (t *transaction) shown() state {
	if t.unfinished != nil {
		return t.state.completed(time.UnixMilli(t.state.updateMillis))
	}
	return t.state
}

func (t *transaction) describe() Description {
	s := t.shown()
	d := Description{
		TransactionalID: t.key.id, Producer: Producer{s.producerID, s.epoch}, Status: s.status.String(),
		TimeoutMillis: s.timeoutMillis, StartMillis: s.startMillis,
	}
	for _, p := range s.partitions {
		if d.Partitions == nil {
			d.Partitions = make(map[string][]int32)
		}
		d.Partitions[p.topic] = p.partitions
	}
	return d
}

// Statuses are the names of states that can be asked for, as Kafka knows them.
func Statuses() []string {
	names := []string{"Dead", "PrepareEpochFence"}
	for st := range statusCount {
		names = append(names, st.String())
	}
	return names
}
