package topology

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// show prints what was configured in one line.
func show(c *Configured, err error) string {
	if err != nil {
		return "invalid: " + err.Error()
	}
	var parts []string
	for _, sub := range c.Subtopologies {
		parts = append(parts, fmt.Sprintf("%s*%d", sub.ID, sub.Tasks))
	}
	for _, topic := range c.Missing {
		parts = append(parts, fmt.Sprintf("create %s*%d", topic.Name, topic.Partitions))
	}
	if c.Problem != nil {
		parts = append(parts, fmt.Sprintf("(%d: %s)", c.Problem.Status, c.Problem.Detail))
	}
	return strings.Join(parts, " ")
}

func topics(names ...string) (all []Topic) {
	for _, name := range names {
		all = append(all, Topic{Name: name})
	}
	return all
}

func TestConfigure(t *testing.T) {
	read := Subtopology{ID: "0", Sources: []string{"in"}, RepartitionSinks: []string{"r"}}
	count := Subtopology{ID: "1", RepartitionSources: topics("r"), Changelogs: topics("c")}
	fixed := Subtopology{ID: "1", RepartitionSources: []Topic{{Name: "r", Partitions: 7}}, Changelogs: topics("c")}
	joined := Subtopology{ID: "1", Sources: []string{"side"}, RepartitionSources: topics("r"), Copartitions: []Copartition{{Sources: []int16{0}, RepartitionSources: []int16{0}}}}
	fixedJoin := joined
	fixedJoin.RepartitionSources = []Topic{{Name: "r", Partitions: 7}}
	both := Subtopology{ID: "2", RepartitionSources: []Topic{{Name: "r"}, {Name: "s", Partitions: 5}}, Copartitions: []Copartition{{RepartitionSources: []int16{0, 1}}}}
	for _, tt := range []struct {
		name     string
		subs     []Subtopology
		existing map[string]int32
		want     string
	}{
		{"a source is missing", []Subtopology{read, count}, nil, "(1: Source topics in are missing.)"},
		{"many sources are missing", []Subtopology{{ID: "0", Sources: []string{"e", "d", "c", "b", "a"}}}, nil, "(1: Source topics a, b, c and 2 additional topics are missing.)"},
		{"internal topics take the number of what flows in", []Subtopology{read, count}, map[string]int32{"in": 3},
			"0*3 1*3 create c*3 create r*3 (3: Internal topics are missing: c, r)"},
		{"all is there", []Subtopology{read, count}, map[string]int32{"in": 3, "r": 3, "c": 3}, "0*3 1*3"},
		{"an internal topic has another number", []Subtopology{read, count}, map[string]int32{"in": 3, "r": 2}, "(2: Existing topic r has different number of partitions: expected 3, found 2)"},
		{"a number is asked for", []Subtopology{read, fixed}, map[string]int32{"in": 3}, "0*3 1*7 create c*7 create r*7 (3: Internal topics are missing: c, r)"},
		{"what is joined has the number of the other", []Subtopology{read, joined}, map[string]int32{"in": 3, "side": 5}, "0*3 1*5 create r*5 (3: Internal topics are missing: r)"},
		{"what is joined cannot have it", []Subtopology{read, fixedJoin}, map[string]int32{"in": 3, "side": 5},
			"(2: Number of partitions [7] of repartition topic [r] doesn't match number of partitions [5] of the source topic.)"},
		{"joined topics differ", []Subtopology{{ID: "0", Sources: []string{"b", "a"}, Copartitions: []Copartition{{Sources: []int16{0, 1}}}}}, map[string]int32{"a": 1, "b": 2},
			"(2: Following topics do not have the same number of partitions: [{a=1, b=2}])"},
		{"of two internal topics one has a number", []Subtopology{read, {ID: "1", Sources: []string{"in"}, RepartitionSinks: []string{"s"}}, both}, map[string]int32{"in": 3},
			"0*3 1*3 2*5 create r*5 create s*5 (3: Internal topics are missing: r, s)"},
		{"nobody writes it", []Subtopology{count}, nil,
			"invalid: Failed to compute number of partitions for all repartition topics, because a repartition source topic is never used as a sink topic."},
		{"it flows in a circle", []Subtopology{{ID: "0", RepartitionSources: topics("r"), RepartitionSinks: []string{"r"}}}, nil,
			"invalid: Failed to compute number of partitions for all repartition topics. There may be loops in the topology that cannot be resolved."},
		{"nothing", nil, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			app := New(0, tt.subs)
			if err := app.Check(); err != nil {
				t.Fatal(err)
			}
			have := show(Configure(app, func(name string) (int32, bool) { n, ok := tt.existing[name]; return n, ok }))
			if have != tt.want {
				t.Errorf("have %s\nwant %s", have, tt.want)
			}
		})
	}
}

func TestCheckRefusesWhatCannotBe(t *testing.T) {
	for name, subs := range map[string][]Subtopology{
		"twice":           {{ID: "0", Sources: []string{"t"}}, {ID: "0", Sources: []string{"u"}}},
		"reads nothing":   {{ID: "0", RepartitionSinks: []string{"r"}}},
		"changelog":       {{ID: "0", Sources: []string{"t"}, Changelogs: []Topic{{Name: "c", Partitions: 1}}}},
		"negative":        {{ID: "0", RepartitionSources: []Topic{{Name: "r", Partitions: -1}}}},
		"beyond sources":  {{ID: "0", Sources: []string{"t"}, Copartitions: []Copartition{{Sources: []int16{1}}}}},
		"below sources":   {{ID: "0", Sources: []string{"t"}, Copartitions: []Copartition{{Sources: []int16{-1}}}}},
		"beyond internal": {{ID: "0", Sources: []string{"t"}, Copartitions: []Copartition{{RepartitionSources: []int16{0}}}}},
		"subtopologies":   make([]Subtopology, maxSubtopologies+1),
		"topics":          {{ID: "0", Sources: make([]string, maxTopics+1)}},
	} {
		if err, is := New(0, subs).Check(), (*InvalidError)(nil); !errors.As(err, &is) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
