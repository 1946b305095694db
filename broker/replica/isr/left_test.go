package isr

import (
	"testing"
	"time"
)

// A follower that was taken out of the in-sync set and comes back far behind holds nothing back until it has caught up;
// then it does, and is proposed.
func TestWhoWasAwayHoldsNothingBack(t *testing.T) {
	now := time.Unix(1000, 0)
	brokers := func(int32) Broker { return Broker{Epoch: 5, Active: true} }
	state := State{LeaderEpoch: 1, PartitionEpoch: 1, Replicas: []int32{1, 2, 3}, ISR: []int32{1, 2, 3}}
	l := Lead(Start{Self: 1, State: state, Settings: Settings{MinInSyncReplicas: 2, MaxLag: 30 * time.Second}, LogEnd: 100, Held: 100, HighWatermark: 100, Now: now})
	fetch := func(id int32, offset, logEnd int64) (propose bool) {
		t.Helper()
		now = now.Add(time.Millisecond)
		_, propose, err := l.Fetched(Fetch{ID: id, BrokerEpoch: 5, Offset: offset}, logEnd, now, brokers)
		if err != nil {
			t.Fatal(err)
		}
		return propose
	}
	fetch(2, 100, 100)
	fetch(3, 100, 100)
	state.PartitionEpoch, state.ISR = 2, []int32{1, 2}
	l.Update(state)
	l.Held(200)
	fetch(2, 200, 200)
	if fetch(3, 100, 200) {
		t.Error("a follower that is behind is proposed")
	}
	l.Held(300)
	if fetch(2, 300, 300); l.HighWatermark() != 300 {
		t.Errorf("the high watermark is %d with the in-sync replicas at 300: who is behind holds it back", l.HighWatermark())
	}
	if !fetch(3, 300, 300) {
		t.Error("a follower that has caught up is not proposed")
	}
}
