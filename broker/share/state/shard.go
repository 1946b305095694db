package state

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/share/delivery"
)

// shard is the state machine of one partition of __share_group_state. It is pure; package coordinator runs it.
type shard struct {
	settings func() Settings
	states   map[Key]*partitionState
	places   map[Key]int64 // offset of each key's last snapshot
	end      int64         // after the last record whose place is known
	journal  []undo
	keeping  bool      // between Begin and Commit or Rollback
	changed  bool      // since the last look for cold states
	look     time.Time // when that is next
	writes   int64     // for metrics
}

type undo struct {
	key    Key
	before *partitionState
}

func newShard(settings func() Settings) *shard {
	return &shard{settings: settings, states: map[Key]*partitionState{}, places: map[Key]int64{}}
}

// The requests of a shard: several keys each, which are answered one by one, in order.
type (
	initializeRequest []item
	writeRequest      []item
	readRequest       []item
	summaryRequest    []item
	deleteRequest     []item
	redundantRequest  struct{} // answered with the offset below which the log says nothing that counts
	topicDeleted      struct{ topic [16]byte }
)

// item is what a request says of one key.
type item struct {
	key                     Key
	stateEpoch, leaderEpoch int32 // -1: not told
	start                   int64
	through                 int32
	batches                 []delivery.Batch
}

// result answers an item.
type result struct {
	fault   *kerr.Error
	message string // "": the fault's own
	state   *partitionState
}

func refused(fault *kerr.Error, message string) result {
	return result{fault: fault, message: message}
}

// Step implements coordinator.Shard.
func (s *shard) Step(event any, ticket coordinator.Ticket, now time.Time) coordinator.Result {
	do := coordinator.Result{Divisible: true}
	step := s.read
	var items []item
	switch e := event.(type) {
	case initializeRequest:
		step, items = s.initialize, e
	case writeRequest:
		step, items = s.write, e
	case readRequest:
		items = e
	case summaryRequest:
		step, items = s.summary, e
	case deleteRequest:
		step, items = s.delete, e
	case redundantRequest:
		do.Replies = []coordinator.Reply{{Ticket: ticket, Response: s.redundant()}}
		return do
	case topicDeleted:
		s.dropTopic(e, &do)
		return do
	case coordinator.Tick:
		s.snapshotCold(now, &do)
		return do
	default:
		panic(fmt.Sprintf("BUG: share state shard got %T", event))
	}
	results := make([]result, len(items))
	staged := stage{s, map[Key]*partitionState{}}
	for i := range items {
		results[i] = step(&items[i], staged, now, &do)
	}
	do.Replies = []coordinator.Reply{{Ticket: ticket, Response: results}}
	return do
}

// stage is the shard with what earlier items of the same request will have made of it.
type stage struct {
	*shard
	ahead map[Key]*partitionState
}

func (s stage) state(k Key) *partitionState {
	if ahead, ok := s.ahead[k]; ok {
		return ahead
	}
	return s.states[k]
}

func (s *shard) initialize(i *item, staged stage, now time.Time, do *coordinator.Result) result {
	before := staged.state(i.key)
	next := &partitionState{stateEpoch: i.stateEpoch, start: i.start, through: -1, createdMillis: now.UnixMilli(), writtenMillis: now.UnixMilli()}
	if next.start >= 0 {
		next.through = 0
	}
	if before != nil {
		if i.stateEpoch != -1 && before.stateEpoch > i.stateEpoch {
			return refused(kerr.FencedStateEpoch, "")
		}
		if i.stateEpoch == before.stateEpoch && i.start < 0 {
			return result{state: before} // asked again by who does not know that it was done: what came since must stay
		}
		next.snapshotEpoch = before.snapshotEpoch + 1
	}
	staged.ahead[i.key] = next
	do.Records = append(do.Records, snapshotRecord(i.key, next))
	return result{state: next}
}

// write notes what a leader says. Every so many updates the whole state is written.
func (s *shard) write(i *item, staged stage, now time.Time, do *coordinator.Result) result {
	before := staged.state(i.key)
	switch {
	case before == nil:
		return refused(kerr.InvalidRequest, "Write operation on uninitialized share partition not allowed.")
	case i.leaderEpoch != -1 && before.leaderEpoch > i.leaderEpoch:
		return refused(kerr.FencedLeaderEpoch, "The leader epoch in the request is older than the epoch on the broker.")
	case i.stateEpoch != -1 && before.stateEpoch > i.stateEpoch:
		return refused(kerr.FencedStateEpoch, "")
	}
	s.writes++
	s.change(i, staged, now, do)
	return result{state: staged.state(i.key)}
}

func (s *shard) change(i *item, staged stage, now time.Time, do *coordinator.Result) {
	before := staged.state(i.key)
	u := update{snapshotEpoch: before.snapshotEpoch, leaderEpoch: i.leaderEpoch, start: i.start, through: i.through, batches: i.batches}
	if u.leaderEpoch == -1 {
		u.leaderEpoch = before.leaderEpoch
	}
	next := before.apply(u)
	staged.ahead[i.key] = next
	if before.updates < s.settings().UpdatesPerSnapshot {
		do.Records = append(do.Records, updateRecord(i.key, u))
		return
	}
	next.snapshotEpoch++
	next.updates, next.createdMillis, next.writtenMillis = 0, now.UnixMilli(), now.UnixMilli()
	do.Records = append(do.Records, snapshotRecord(i.key, next))
}

// read tells a leader where it begins. From then on earlier leaders cannot write.
func (s *shard) read(i *item, staged stage, now time.Time, do *coordinator.Result) result {
	before := staged.state(i.key)
	switch {
	case before == nil:
		return refused(kerr.InvalidRequest, "Read operation on uninitialized share partition not allowed.")
	case i.leaderEpoch != -1 && before.leaderEpoch > i.leaderEpoch:
		return refused(kerr.FencedLeaderEpoch, "The leader epoch in the request is older than the epoch on the broker.")
	case i.leaderEpoch > before.leaderEpoch:
		s.change(&item{key: i.key, leaderEpoch: i.leaderEpoch, start: before.start, through: before.through}, staged, now, do)
	}
	return result{state: before}
}

func (s *shard) summary(i *item, staged stage, _ time.Time, _ *coordinator.Result) result {
	return result{state: staged.state(i.key)}
}

func (s *shard) delete(i *item, staged stage, _ time.Time, do *coordinator.Result) result {
	if staged.state(i.key) != nil {
		staged.ahead[i.key] = nil
		do.Records = append(do.Records, tombstone(i.key))
	}
	return result{}
}

func (s *shard) dropTopic(e topicDeleted, do *coordinator.Result) {
	for key := range s.states {
		if key.Topic == e.topic {
			do.Records = append(do.Records, tombstone(key))
		}
	}
}

// snapshotCold writes the whole of states whose last snapshot is old, so that the log before them can go. When nothing has
// changed at all since the last time there is nothing to win.
func (s *shard) snapshotCold(now time.Time, do *coordinator.Result) {
	s.look = now.Add(s.settings().ColdSnapshotInterval)
	if !s.changed {
		return
	}
	s.changed = false
	oldest := now.Add(-s.settings().ColdSnapshotInterval).UnixMilli()
	for key, before := range s.states {
		if before.writtenMillis <= oldest {
			next := *before
			next.snapshotEpoch, next.updates, next.writtenMillis = before.snapshotEpoch+1, 0, now.UnixMilli()
			do.Records = append(do.Records, snapshotRecord(key, &next))
		}
	}
}

// redundant is the offset below which every record was replaced by a later snapshot.
func (s *shard) redundant() int64 {
	offset := s.end
	for _, place := range s.places {
		offset = min(offset, place)
	}
	return offset
}
