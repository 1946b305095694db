package main

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
)

func TestReplicasAreResizedWithFewChanges(t *testing.T) {
	t.Parallel()
	brokers := []clusterMember{{id: 1, rack: "a"}, {id: 2, rack: "a"}, {id: 3, rack: "b"}, {id: 4, rack: "c"}}
	for _, tc := range []struct {
		name          string
		leader        int32
		replicas, isr []int32
		count         int
		load          map[int32]int
		want          []int32
	}{
		{"grows into racks that hold none", 1, []int32{1}, []int32{1}, 3, map[int32]int{2: 0, 3: 9, 4: 8}, []int32{1, 4, 3}},
		{"grows onto the emptier of a rack", 3, []int32{3, 4}, []int32{3, 4}, 3, map[int32]int{1: 5, 2: 4}, []int32{3, 4, 2}},
		{"shrinks by the one that is not in sync", 2, []int32{1, 2, 3}, []int32{1, 2}, 2, nil, []int32{1, 2}},
		{"shrinks by the one that shares a rack", 3, []int32{1, 2, 3}, []int32{1, 2, 3}, 2, map[int32]int{1: 1, 2: 7}, []int32{1, 3}},
		{"keeps the leader", 3, []int32{1, 2, 3}, []int32{1, 2, 3}, 1, nil, []int32{3}},
		{"stays as it is", 1, []int32{1, 3}, []int32{1, 3}, 2, nil, []int32{1, 3}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPlacement(brokers, nil)
			for id, n := range tc.load {
				p.load[id] = n
			}
			got := p.resize(kadm.PartitionDetail{Leader: tc.leader, Replicas: tc.replicas, ISR: tc.isr}, tc.count)
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestDrainFindsWhatHasNoPlace(t *testing.T) {
	t.Parallel()
	brokers := []clusterMember{{id: 1}, {id: 2}, {id: 3}, {id: 4, fenced: true}}
	partitions := []kadm.PartitionDetail{
		{Topic: "a", Partition: 0, Leader: 3, Replicas: []int32{3, 1}},
		{Topic: "a", Partition: 1, Leader: 1, Replicas: []int32{1, 2, 3}},
		{Topic: "a", Partition: 2, Leader: 1, Replicas: []int32{1}},
	}
	plan := planDrain(3, brokers, partitions)
	if plan.Leaders != 1 || plan.Replicas != 2 || !slices.Equal(plan.Stuck, []string{"a:1"}) {
		t.Errorf("got %+v", plan)
	}
}

func TestWhatIsBeingMovedAwayLeavesRoomForADrain(t *testing.T) {
	t.Parallel()
	brokers := []clusterMember{{id: 1}, {id: 2}, {id: 3}}
	partitions := []kadm.PartitionDetail{{Topic: "a", Leader: 1, Replicas: []int32{3, 1, 2}}}
	moves := []reassignment{{Topic: "a", Replicas: []int32{3, 1, 2}, Adding: []int32{3}, Removing: []int32{2}}}
	if plan := planDrain(1, brokers, withoutLeaving(partitions, moves)); plan.Replicas != 1 || len(plan.Stuck) != 0 {
		t.Errorf("got %+v", plan)
	}
	if len(partitions[0].Replicas) != 3 {
		t.Errorf("what was listed has changed: %v", partitions[0].Replicas)
	}
}
