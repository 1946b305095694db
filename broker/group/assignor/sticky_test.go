package assignor

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// apply gives members what they were assigned.
func apply(members []Streamer, assigned map[string]StreamerTasks) []Streamer {
	members = slices.Clone(members)
	for i := range members {
		members[i].Active, members[i].Standby = assigned[members[i].ID].Active, assigned[members[i].ID].Standby
	}
	return members
}

// mustBeSound checks that each task is active once, that standby tasks are of stateful subtopologies, and that no process has a
// task twice. It returns how many standby tasks were given out.
func mustBeSound(t *testing.T, members []Streamer, parts []Subtopology, assigned map[string]StreamerTasks) (copies int) {
	t.Helper()
	active := map[Task]int{}
	held := map[string]map[Task]bool{}
	stateful := map[string]bool{}
	for _, p := range parts {
		stateful[p.ID] = p.Stateful
	}
	for _, m := range members {
		if held[m.Process] == nil {
			held[m.Process] = map[Task]bool{}
		}
		for _, task := range append(slices.Clone(assigned[m.ID].Active), assigned[m.ID].Standby...) {
			if held[m.Process][task] {
				t.Errorf("process %s has %v twice", m.Process, task)
			}
			held[m.Process][task] = true
		}
		for _, task := range assigned[m.ID].Active {
			active[task]++
		}
		for _, task := range assigned[m.ID].Standby {
			if copies++; !stateful[task.Subtopology] {
				t.Errorf("%v is without state and has a standby task", task)
			}
		}
	}
	for _, task := range tasksOf(parts, false) {
		if active[task] != 1 {
			t.Errorf("%v is given to %d members", task, active[task])
		}
	}
	return copies
}

func TestStickySpreadsTasksAndKeepsThem(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		var members []Streamer
		processes := 1 + random.IntN(6)
		for i := range processes {
			for j := range 1 + random.IntN(3) {
				members = append(members, Streamer{ID: fmt.Sprintf("%d-%d", i, j), Process: fmt.Sprint("p", i)})
			}
		}
		parts := []Subtopology{{"0", int32(random.IntN(12)), false}, {"1", int32(1 + random.IntN(12)), true}, {"2", int32(random.IntN(5)), true}}
		standbys := random.IntN(3)
		assigned := Sticky(members, parts, standbys)
		copies := mustBeSound(t, members, parts, assigned)
		if want := int(parts[1].Tasks+parts[2].Tasks) * min(standbys, processes-1); copies != want {
			t.Errorf("round %d: %d standby tasks of %d members of %d processes, want %d", round, copies, len(members), processes, want)
		}
		members = apply(members, assigned)
		again := Sticky(members, parts, standbys)
		for _, m := range members { // standby tasks may move, as in Kafka: who has more than its part gives some up
			if !slices.Equal(again[m.ID].Active, m.Active) {
				t.Errorf("round %d: without a change the tasks %v of %s became %v", round, m.Active, m.ID, again[m.ID].Active)
			}
		}
		members = append(members, Streamer{ID: "new", Process: "new"})
		grown := Sticky(members, parts, standbys)
		mustBeSound(t, members, parts, grown)
		for _, m := range members {
			for _, task := range grown[m.ID].Active {
				if m.ID != "new" && standbys == 0 && !slices.Contains(m.Active, task) {
					t.Errorf("round %d: %s got %v of another one when somebody came", round, m.ID, task)
				}
			}
		}
		if t.Failed() {
			t.FailNow()
		}
	}
}

// A process that is gone is replaced where the state of its tasks is.
func TestStickyPrefersStandbys(t *testing.T) {
	members := []Streamer{{ID: "a", Process: "p"}, {ID: "b", Process: "q"}, {ID: "c", Process: "r"}}
	parts := []Subtopology{{"0", 3, true}}
	members = apply(members, Sticky(members, parts, 1))
	gone := members[0]
	next := Sticky(members[1:], parts, 1)
	for _, m := range members[1:] {
		for _, task := range next[m.ID].Active {
			if slices.Contains(gone.Active, task) && !slices.Contains(m.Standby, task) {
				t.Errorf("%v went to %s, which had %v as standby", task, m.ID, m.Standby)
			}
		}
	}
	mustBeSound(t, members[1:], parts, next)
}

func TestStickyWithoutMembers(t *testing.T) {
	if assigned := Sticky(nil, []Subtopology{{"0", 3, true}}, 2); len(assigned) != 0 {
		t.Errorf("nobody got %v", assigned)
	}
}
