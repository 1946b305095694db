package assignor

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestAssignorsKeepTheirWord makes any group, assigns, changes it, and assigns again.
func TestAssignorsKeepTheirWord(t *testing.T) {
	for _, name := range []string{"uniform", "range"} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				assigned := map[string]Partitions{}
				for range 3 {
					topics, members := anyGroup(rt, assigned)
					targets := ByName(name)(members, topics)
					check(rt, name, members, topics, targets)
					assigned = targets
				}
			})
		})
	}
}

func anyGroup(rt *rapid.T, assigned map[string]Partitions) (map[TopicID]Topic, []Member) {
	topics := map[TopicID]Topic{}
	var ids []TopicID
	for i := range rapid.IntRange(1, 4).Draw(rt, "topics") {
		id := TopicID{byte(i + 1)}
		ids = append(ids, id)
		topics[id] = Topic{ID: id, Partitions: int32(rapid.IntRange(1, 12).Draw(rt, "partitions"))}
	}
	alike := rapid.Bool().Draw(rt, "alike")
	var members []Member
	for i := range rapid.IntRange(1, 6).Draw(rt, "members") {
		m := Member{ID: fmt.Sprint("m", i), Topics: ids, Assigned: assigned[fmt.Sprint("m", i)]}
		if !alike {
			m.Topics = slices.DeleteFunc(slices.Clone(ids), func(TopicID) bool { return rapid.Bool().Draw(rt, "leave out") })
		}
		if rapid.Bool().Draw(rt, "static") {
			instance := fmt.Sprint("i", 9-i)
			m.InstanceID = &instance
		}
		members = append(members, m)
	}
	return topics, members
}

func check(rt *rapid.T, name string, members []Member, topics map[TopicID]Topic, targets map[string]Partitions) {
	given, least, most, kept := map[place]string{}, 1<<30, 0, 0
	for _, m := range members {
		n := targets[m.ID].Count()
		least, most = min(least, n), max(most, n)
		for id, partitions := range targets[m.ID] {
			if !slices.Contains(m.Topics, id) {
				rt.Fatalf("%s gets a topic that it does not subscribe to", m.ID)
			}
			if !slices.IsSorted(partitions) {
				rt.Fatalf("partitions of %s are not sorted: %v", m.ID, partitions)
			}
			for _, p := range partitions {
				if other, twice := given[place{id, p}]; twice || p >= topics[id].Partitions {
					rt.Fatalf("partition %d goes to %s and %s, there are %d", p, m.ID, other, topics[id].Partitions)
				}
				given[place{id, p}] = m.ID
				if slices.Contains(m.Assigned[id], p) {
					kept++
				}
			}
		}
	}
	wanted := 0
	for id, t := range topics {
		if slices.ContainsFunc(members, func(m Member) bool { return slices.Contains(m.Topics, id) }) {
			wanted += int(t.Partitions)
		}
	}
	if len(given) != wanted {
		rt.Fatalf("%d of %d partitions are given", len(given), wanted)
	}
	if name == "uniform" && isHomogeneous(members) && most-least > 1 {
		rt.Fatalf("members have from %d to %d partitions", least, most)
	}
}

// TestUniformMovesWhatItMust: one member more takes its share and nothing else moves; one that leaves gives only its own.
func TestUniformMovesWhatItMust(t *testing.T) {
	topic := TopicID{1}
	topics := map[TopicID]Topic{topic: {ID: topic, Partitions: 12}}
	group := func(targets map[string]Partitions, ids ...string) (members []Member) {
		for _, id := range ids {
			members = append(members, Member{ID: id, Topics: []TopicID{topic}, Assigned: targets[id]})
		}
		return members
	}
	three := Uniform(group(nil, "a", "b", "c"), topics)
	four := Uniform(group(three, "a", "b", "c", "d"), topics)
	back := Uniform(group(four, "a", "b", "d"), topics)
	for _, step := range []struct {
		name          string
		before, after map[string]Partitions
		moved         int
	}{{"one more", three, four, 3}, {"one less", four, back, 3}} {
		moved := 0
		for id, target := range step.after {
			for _, p := range target[topic] {
				if !slices.Contains(step.before[id][topic], p) {
					moved++
				}
			}
		}
		if moved != step.moved {
			t.Errorf("%s: %d partitions move, want %d", step.name, moved, step.moved)
		}
	}
}
