package oracle

import (
	"strings"
	"testing"
)

func transcript(version int16, lines ...Line) Transcript {
	c := &Conversation{File: "x.yaml", Title: "answers"}
	return Transcript{Instance: Instance{Conversation: c, About: Spoken()[3], Version: version}, Steps: []StepAnswer{{Name: "1 Metadata", Lines: lines}}}
}

func TestCompareFindsEveryFieldThatDiffersAndJoinsVersions(t *testing.T) {
	kafka := []Transcript{transcript(1, Line{"A", "1"}, Line{"B", "2"}), transcript(2, Line{"A", "1"}, Line{"B", "2"}), transcript(4, Line{"A", "1"})}
	other := []Transcript{transcript(1, Line{"A", "1"}, Line{"B", "3"}), transcript(2, Line{"A", "1"}, Line{"B", "3"}), transcript(4, Line{"A", "1"}, Line{"C", "9"})}
	var got []string
	for _, d := range Compare(kafka, other) {
		got = append(got, d.String())
	}
	want := []string{
		"x.yaml: answers: Metadata v1-2: step 1 Metadata: B: 2 => 3",
		"x.yaml: answers: Metadata v4: step 1 Metadata: C: absent => 9",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("differences are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if d := Compare(kafka, kafka); len(d) != 0 {
		t.Errorf("a server differs from itself: %v", d)
	}
}

func TestReviewExplainsByPatternAndNamesWhatIsUnused(t *testing.T) {
	entries, err := ParseReviewed("# comment\nMillrace counts\ndifferently.\n  x\\.yaml: .*: B: 2 => 3\n  never: .*\n\nAnother reason.\n  .*: C: absent => 9\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 || entries[0].Reason != "Millrace counts differently." || len(entries[0].Patterns) != 2 {
		t.Fatalf("parsed %+v", entries)
	}
	differences := []Difference{
		{File: "x.yaml", Title: "a", API: "Metadata", Step: "1", Path: "B", Kafka: "2", Other: "3", Versions: []int16{1}},
		{File: "x.yaml", Title: "a", API: "Metadata", Step: "1", Path: "D", Kafka: "2", Other: "3", Versions: []int16{1}},
	}
	left := Review(entries, differences)
	if len(left) != 1 || left[0].Path != "D" {
		t.Errorf("left unexplained: %v", left)
	}
	if unused := Unused(entries); len(unused) != 2 || !strings.Contains(unused[0], "never") {
		t.Errorf("unused: %v", unused)
	}
	for _, bad := range []string{"  pattern without a reason\n", "a reason without a pattern\n", "reason\n  (\n"} {
		if _, err := ParseReviewed(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestRangesTextJoinsNeighbours(t *testing.T) {
	if got := rangesText([]int16{5, 0, 2, 1}); got != "0-2,5" {
		t.Errorf("ranges are %q", got)
	}
}
