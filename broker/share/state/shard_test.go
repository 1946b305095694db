package state

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"pgregory.net/rapid"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/share/delivery"
)

// ledger is a shard with its log.
type ledger struct {
	*shard
	t   *testing.T
	log []coordinator.Record
	now time.Time
}

func newLedger(t *testing.T, updatesPerSnapshot int) *ledger {
	settings := DefaultSettings()
	settings.UpdatesPerSnapshot = updatesPerSnapshot
	l := &ledger{shard: newShard(func() Settings { return settings }), t: t, now: time.Unix(1000, 0)}
	l.Loaded(l.now)
	return l
}

// ask steps the shard as the runtime does, and returns the results.
func (l *ledger) ask(event any) []result {
	l.t.Helper()
	do := l.Step(event, 1, l.now)
	l.Begin()
	for _, r := range do.Records {
		if err := l.Replay(r); err != nil {
			l.t.Fatal(err)
		}
		l.Placed(r, int64(len(l.log)))
		l.log = append(l.log, r)
	}
	l.Commit()
	if len(do.Replies) == 0 {
		return nil
	}
	results, _ := do.Replies[0].Response.([]result)
	return results
}

// reloaded is a shard that reads the log from an offset on.
func (l *ledger) reloaded(from int64) *shard {
	s := newShard(l.settings)
	for i := from; i < int64(len(l.log)); i++ {
		if err := s.Replay(l.log[i]); err != nil {
			l.t.Fatal(err)
		}
		s.Placed(l.log[i], i)
	}
	s.Loaded(l.now)
	return s
}

var jobs = Key{Group: "workers", Topic: [16]byte{1}, Partition: 3}

func available(first, last int64, count int16) delivery.Batch {
	return delivery.Batch{First: first, Last: last, State: delivery.Available, Count: count}
}

func through(first, last int64) delivery.Batch {
	return delivery.Batch{First: first, Last: last, State: delivery.Acknowledged, Count: 1}
}

func TestAStateMustBeInitialized(t *testing.T) {
	l := newLedger(t, 500)
	if r := l.ask(writeRequest{{key: jobs}})[0]; r.fault != kerr.InvalidRequest {
		t.Errorf("a write without a state was answered %v", r.fault)
	}
	if r := l.ask(readRequest{{key: jobs}})[0]; r.fault != kerr.InvalidRequest {
		t.Errorf("a read without a state was answered %v", r.fault)
	}
	l.ask(initializeRequest{{key: jobs, start: -1}})
	if r := l.ask(readRequest{{key: jobs, leaderEpoch: 4}})[0]; r.fault != nil || r.state.start != -1 {
		t.Errorf("a read was answered %v", r)
	}
}

func TestALeaderThatWasReplacedCannotWrite(t *testing.T) {
	l := newLedger(t, 500)
	l.ask(initializeRequest{{key: jobs, start: 0}})
	l.ask(readRequest{{key: jobs, leaderEpoch: 7}})
	if r := l.ask(writeRequest{{key: jobs, leaderEpoch: 6, start: 0}})[0]; r.fault != kerr.FencedLeaderEpoch {
		t.Errorf("a write of an old leader was answered %v", r.fault)
	}
	l.ask(initializeRequest{{key: jobs, stateEpoch: 2, start: 100}})
	if r := l.ask(writeRequest{{key: jobs, leaderEpoch: 7, stateEpoch: 1, start: 5}})[0]; r.fault != kerr.FencedStateEpoch {
		t.Errorf("a write of an old state was answered %v", r.fault)
	}
	if r := l.ask(initializeRequest{{key: jobs, stateEpoch: 1, start: 5}})[0]; r.fault != kerr.FencedStateEpoch {
		t.Errorf("an old beginning was answered %v", r.fault)
	}
	if got := l.reloaded(0).states[jobs].start; got != 100 {
		t.Errorf("the group begins at %d after a reload, must be 100", got)
	}
}

func TestWhatSnapshotsReplacedIsRedundant(t *testing.T) {
	l := newLedger(t, 2)
	other := Key{Group: "others", Topic: [16]byte{1}}
	l.ask(initializeRequest{{key: jobs, start: 0}, {key: other, start: 0}})
	for n := range int64(7) {
		l.ask(writeRequest{{key: jobs, start: n, batches: []delivery.Batch{available(n+10, n+10, 1)}}})
	}
	if got := l.redundant(); got != 1 {
		t.Errorf("the log is redundant below %d, but the state of %v lies at 1", got, other)
	}
	l.now = l.now.Add(time.Hour)
	l.ask(coordinator.Tick{})
	from := l.redundant()
	if from < 9 {
		t.Errorf("the log is redundant below %d after snapshots of cold states", from)
	}
	loaded := l.reloaded(from)
	for key, want := range l.states {
		got := loaded.states[key]
		if got == nil || got.start != want.start || !slices.Equal(got.batches, want.batches) {
			t.Errorf("%v is %v after the log was cut, must be %v", key, got, want)
		}
	}
}

func TestAWriteThatFailedLeavesNoTrace(t *testing.T) {
	l := newLedger(t, 500)
	l.ask(initializeRequest{{key: jobs, start: 4}})
	do := l.Step(writeRequest{{key: jobs, start: 9, batches: []delivery.Batch{through(12, 14)}}}, 1, l.now)
	l.Begin()
	for _, r := range do.Records {
		if err := l.Replay(r); err != nil {
			t.Fatal(err)
		}
	}
	l.Rollback()
	if s := l.states[jobs]; s.start != 4 || len(s.batches) != 0 {
		t.Errorf("the state is %v after the write failed", s)
	}
}

func TestAStateThatIsThereIsNotInitializedAgain(t *testing.T) {
	l := newLedger(t, 500)
	l.ask(initializeRequest{{key: jobs, start: -1}})
	l.ask(writeRequest{{key: jobs, start: 40, batches: []delivery.Batch{available(40, 41, 1)}}})
	if r := l.ask(initializeRequest{{key: jobs, start: -1}})[0]; r.fault != nil || l.states[jobs].start != 40 {
		t.Errorf("the state is %v after it was initialized again, the answer %v", l.states[jobs], r.fault)
	}
}

// TestTheLastWordOfAnOffsetCounts holds combine against a map.
func TestTheLastWordOfAnOffsetCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var known []delivery.Batch
		model := map[int64]delivery.Batch{}
		start := int64(0)
		for range rapid.IntRange(1, 6).Draw(t, "writes") {
			var said []delivery.Batch
			for range rapid.IntRange(0, 4).Draw(t, "batches") {
				first := rapid.Int64Range(0, 30).Draw(t, "first")
				b := delivery.Batch{First: first, Last: first + rapid.Int64Range(-1, 6).Draw(t, "more"),
					State: rapid.SampledFrom([]delivery.State{delivery.Available, delivery.Acknowledged, delivery.Archived}).Draw(t, "state"),
					Count: int16(rapid.IntRange(0, 2).Draw(t, "count"))}
				said = append(said, b)
				for at := b.First; at <= b.Last; at++ {
					model[at] = b
				}
			}
			start += rapid.Int64Range(0, 3).Draw(t, "start")
			known = combine(known, said, start)
		}
		seen := map[int64]bool{}
		last := start - 1
		for _, b := range known {
			if b.First <= last {
				t.Fatalf("%v overlaps or lies below the start: %v", b, known)
			}
			for at := b.First; at <= b.Last; at++ {
				seen[at] = true
				if want := model[at]; want.State != b.State || want.Count != b.Count {
					t.Fatalf("%d is %v, must be %v", at, b, want)
				}
			}
			last = b.Last
		}
		for at := range model {
			if at >= start && !seen[at] {
				t.Fatalf("%d is gone", at)
			}
		}
	})
}

func FuzzRecords(f *testing.F) {
	l := snapshotRecord(jobs, &partitionState{start: 3, through: 2, batches: []delivery.Batch{through(5, 6), available(7, 7, 2)}})
	u := updateRecord(jobs, update{start: -1, through: -1, batches: []delivery.Batch{through(5, 6)}})
	f.Add(l.Key, l.Value)
	f.Add(u.Key, u.Value)
	f.Fuzz(func(t *testing.T, key, value []byte) {
		s := newShard(DefaultSettings)
		_ = s.Replay(coordinator.Record{Key: key, Value: value}) // refuses, never panics
	})
}
