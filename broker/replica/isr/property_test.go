package isr

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"pgregory.net/rapid"
)

// Whatever happens in whatever order, what the package promises in its document holds.
func TestLeaderKeepsItsInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		end := rapid.Int64Range(0, 20).Draw(t, "end")
		now := time.Unix(1000, 0)
		state := State{LeaderEpoch: 3, PartitionEpoch: 1, Replicas: []int32{1, 2, 3}, ISR: subset(t, "isr")}
		minISR := rapid.IntRange(1, 4).Draw(t, "min")
		brokers := map[int32]Broker{1: {10, true}, 2: {20, true}, 3: {30, true}}
		look := func(id int32) Broker { return brokers[id] }
		held := rapid.Int64Range(0, end).Draw(t, "held")
		first := rapid.Int64Range(0, end).Draw(t, "hw")
		l := Lead(Start{Self: 1, State: state, LogEnd: end, Held: held, HighWatermark: first, Now: now,
			Settings: Settings{MinInSyncReplicas: minISR, MaxLag: 10 * time.Second}})
		told := map[int32]int64{1: held, 2: -1, 3: -1} // what each replica has told this leader
		var sent *Proposal
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			before, maximal, enough := l.HighWatermark(), l.Maximal(), l.EnoughInSync()
			switch rapid.IntRange(0, 8).Draw(t, "step") {
			case 0:
				end += rapid.Int64Range(1, 5).Draw(t, "more")
			case 1:
				held = rapid.Int64Range(held, end).Draw(t, "held")
				told[1] = max(told[1], held)
				l.Held(held)
			case 2, 3:
				id := rapid.Int32Range(2, 3).Draw(t, "id")
				f := Fetch{ID: id, Offset: rapid.Int64Range(0, end).Draw(t, "offset"), BrokerEpoch: brokers[id].Epoch + rapid.Int64Range(-1, 1).Draw(t, "start")}
				if _, _, err := l.Fetched(f, end, now, look); err == nil {
					told[id] = f.Offset
				}
			case 4:
				now = now.Add(rapid.SampledFrom([]time.Duration{time.Second, 6 * time.Second, time.Minute}).Draw(t, "time"))
				l.Tick(end, now, look)
			case 5:
				if p, ok := l.Propose(brokers[1].Epoch, end, now, look); ok {
					if sent != nil && l.PartitionEpoch() == sent.PartitionEpoch {
						if _, pending := l.Pending(); pending && !slices.EqualFunc(p.ISR, sent.ISR, func(a, b Member) bool { return a == b }) {
							sent = nil // an earlier one was refused
						}
					}
					checkProposal(t, l, p, brokers)
					sent = &p
				}
			case 6:
				if sent != nil {
					err := rapid.SampledFrom([]error{nil, kerr.RequestTimedOut, kerr.IneligibleReplica, kerr.InvalidUpdateVersion}).Draw(t, "answer")
					s := State{LeaderEpoch: 3, PartitionEpoch: sent.PartitionEpoch + 1}
					for _, m := range sent.ISR {
						s.ISR = append(s.ISR, m.ID)
					}
					l.Answered(*sent, s, err, now)
				}
			case 7:
				l.Update(State{LeaderEpoch: 3, PartitionEpoch: l.PartitionEpoch() + rapid.Int32Range(0, 1).Draw(t, "newer"), Replicas: []int32{1, 2, 3}, ISR: subset(t, "isr")})
			case 8:
				id := rapid.Int32Range(2, 3).Draw(t, "id")
				brokers[id] = Broker{Epoch: brokers[id].Epoch + rapid.Int64Range(0, 1).Draw(t, "restart"), Active: rapid.Bool().Draw(t, "active")}
			}
			after := l.HighWatermark()
			if after < before || after > end {
				t.Fatalf("the high watermark went from %d to %d, the log ends at %d", before, after, end)
			}
			if after == before {
				continue
			}
			if !enough && !l.EnoughInSync() {
				t.Fatalf("the high watermark moved under min ISR")
			}
			both := l.Maximal()
			for _, id := range both {
				if told[id] < after && (id == 1 || slices.Contains(maximal, id)) {
					t.Fatalf("the high watermark is %d, in-sync replica %d holds %d", after, id, told[id])
				}
			}
		}
	})
}

func subset(t *rapid.T, label string) []int32 {
	return append([]int32{1}, slices.Compact(slices.Sorted(slices.Values(rapid.SliceOfN(rapid.Int32Range(2, 3), 0, 2).Draw(t, label))))...)
}

func checkProposal(t *rapid.T, l *Leader, p Proposal, brokers map[int32]Broker) {
	if !p.has(1) {
		t.Fatalf("the leader leaves itself out: %v", p)
	}
	for _, m := range p.ISR {
		position, _ := l.Position(m.ID)
		if m.ID == 1 || slices.Contains(l.ISR(), m.ID) {
			continue
		}
		if position.Offset < l.HighWatermark() || position.Offset < l.EpochStart() || !brokers[m.ID].Active || brokers[m.ID].Epoch != m.BrokerEpoch {
			t.Fatalf("%v is proposed: it holds %d, high watermark %d, epoch began at %d, broker %v", m, position.Offset, l.HighWatermark(), l.EpochStart(), brokers[m.ID])
		}
	}
}

// epochs is a log as far as truncation can see it: the epoch of each record.
type epochs []int32

// endOf answers as log.EndOffsetForEpoch does.
func (e epochs) endOf(epoch int32) EpochEnd {
	if len(e) == 0 || epoch > e[len(e)-1] {
		return EpochEnd{-1, -1}
	}
	n, _ := slices.BinarySearch(e, epoch+1)
	if n == 0 {
		return EpochEnd{epoch, 0}
	}
	return EpochEnd{e[n-1], int64(n)}
}

// endForFollower answers as a leader does, whose own epoch is beyond all of its records.
func (e epochs) endForFollower(epoch int32) EpochEnd {
	if len(e) == 0 || epoch > e[len(e)-1] {
		latest := int32(-1)
		if len(e) > 0 {
			latest = e[len(e)-1]
		}
		return EpochEnd{latest, int64(len(e))}
	}
	return e.endOf(epoch)
}

// Two logs that began alike and went apart, record by record in leader epochs of their own: cutting as the leader says
// ends, leaves a prefix of the leader's log, and keeps all that both have.
func TestCutLeavesWhatBothHave(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		common := epochs(slices.Sorted(slices.Values(rapid.SliceOfN(rapid.Int32Range(0, 6), 0, 12).Draw(t, "common"))))
		from := int32(0)
		if len(common) > 0 {
			from = common[len(common)-1]
		}
		// An epoch has one leader: of the epochs after the common part each belongs to one of the two, but the last
		// common one may go on in either, not in both.
		leader, follower := slices.Clone(common), slices.Clone(common)
		for epoch := from; epoch < from+6; epoch++ {
			mine := rapid.IntRange(0, 3).Draw(t, "records")
			side := &leader
			if rapid.Bool().Draw(t, "follower's") {
				side = &follower
			}
			for range mine {
				*side = append(*side, epoch)
			}
		}
		shared := 0
		for shared < min(len(leader), len(follower)) && leader[shared] == follower[shared] && shared < len(common) {
			shared++
		}
		rounds := 0
		for len(follower) > 0 {
			last := follower[len(follower)-1]
			end := leader.endForFollower(last)
			if end.Epoch == last && end.EndOffset >= int64(len(follower)) {
				break
			}
			cut := Cut(end, follower.endOf(end.Epoch), int64(len(follower)))
			if cut >= int64(len(follower)) || cut < int64(shared) {
				t.Fatalf("leader %v, follower %v: cut at %d of %d after %+v, both have %d", leader, follower, cut, len(follower), end, shared)
			}
			follower = follower[:cut]
			if rounds++; rounds > 20 {
				t.Fatalf("no end in sight")
			}
		}
		if len(follower) != shared {
			t.Fatalf("leader %v, follower left with %v, both have %d", leader, follower, shared)
		}
	})
}

func TestOutOfRange(t *testing.T) {
	for _, test := range []struct {
		logEnd, leaderStart, leaderEnd int64
		want                           Reset
	}{
		{logEnd: 10, leaderStart: 0, leaderEnd: 7, want: Reset{Truncate: true, Offset: 7}},
		{logEnd: 10, leaderStart: 15, leaderEnd: 20, want: Reset{Restart: true, Offset: 15}},
		{logEnd: 10, leaderStart: 10, leaderEnd: 20, want: Reset{Offset: 10}},
	} {
		if got := OutOfRange(test.logEnd, test.leaderStart, test.leaderEnd); got != test.want {
			t.Errorf("%+v: %+v", test, got)
		}
	}
}

func TestFollowerIsTold(t *testing.T) {
	f := Follower{Epoch: 4, HighWatermark: 5}
	for _, test := range []struct{ highWatermark, logStart, logEnd, wantHighWatermark, wantStart int64 }{
		{3, 0, 10, 5, 0},   // a new leader knows less
		{8, 2, 10, 8, 2},   //
		{20, 4, 10, 10, 4}, // no further than what is here
		{20, 15, 12, 12, 12},
	} {
		highWatermark, start := f.Told(test.highWatermark, test.logStart, test.logEnd)
		if highWatermark != test.wantHighWatermark || start != test.wantStart {
			t.Errorf("%+v: high watermark %d, log start %d", test, highWatermark, start)
		}
	}
	if f.Truncated(9); f.HighWatermark != 9 {
		t.Errorf("cut at 9: high watermark %d", f.HighWatermark)
	}
}
