package join

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func party(id int32) Party {
	return Party{NodeID: id, DirectoryID: [16]byte{byte(id), 1}, Address: "node-" + string(rune('0'+id))}
}

func initial(ids ...int32) (voters []Voter) {
	for _, id := range ids {
		voters = append(voters, Voter{NodeID: id, Address: party(id).Address})
	}
	return voters
}

func members(ids ...int32) (list []Member) {
	for _, id := range ids {
		list = append(list, Member{Party: party(id), Voter: true})
	}
	return list
}

// nothing is the answer of a node that knows no cluster; knows that of one that does.
func nothing(id int32) Answer { return Answer{From: party(id), LeaderID: -1} }

func knows(id, leader int32, list ...Member) Answer {
	a := nothing(id)
	a.From.ClusterID, a.LeaderID, a.Members = "c", leader, list
	return a
}

func by(answers ...Answer) map[string]Answer {
	m := map[string]Answer{}
	for _, a := range answers {
		m[a.From.Address] = a
	}
	return m
}

func TestDecide(t *testing.T) {
	other := party(1)
	other.DirectoryID = [16]byte{99}
	wrong := nothing(2)
	wrong.From.NodeID = 7
	tests := map[string]struct {
		self    Party
		initial []Voter
		answers map[string]Answer
		want    Step
	}{
		"the lowest founds when all know nothing":     {party(1), initial(1, 2, 3), by(nothing(2), nothing(3)), Step{Found: members(1, 2, 3)}},
		"the lowest waits while one is missing":       {party(1), initial(1, 2, 3), by(nothing(2)), Step{Wait: "initial voters have not answered: 3@node-3"}},
		"another waits for the lowest":                {party(2), initial(1, 2, 3), by(nothing(1), nothing(3)), Step{Wait: "node 1, the lowest of the initial voters, is to found the cluster"}},
		"only one voter":                              {party(1), initial(1), by(), Step{Found: members(1)}},
		"a voter sees itself":                         {party(2), initial(1, 2, 3), by(knows(1, -1, members(1, 2, 3)...), nothing(3)), Step{Belong: "c"}},
		"a lost disk of the lowest does not found":    {other, initial(1, 2, 3), by(knows(2, 3, members(1, 2, 3)...), nothing(3)), Step{AdmitAt: "node-3"}},
		"a lost disk waits without a controller":      {other, initial(1, 2, 3), by(knows(2, -1, members(1, 2, 3)...), nothing(3)), Step{Wait: "cluster c has no controller that could admit this node"}},
		"a node of later asks the controller":         {party(4), nil, by(knows(2, 3, members(1, 2, 3)...)), Step{AdmitAt: "node-3"}},
		"a node of later that is admitted already":    {party(4), nil, by(knows(2, 3, append(members(1, 2, 3), Member{Party: party(4)})...)), Step{Belong: "c"}},
		"a node of later never founds":                {party(4), nil, by(nothing(1), nothing(2)), Step{Wait: "no member of a cluster answers at the addresses of cluster.join"}},
		"a node that is no initial voter":             {party(4), initial(1, 2, 3), by(nothing(1), nothing(2), nothing(3)), Step{Wait: "no initial voter knows a cluster yet, and this node is not one of them"}},
		"an address where somebody else answers":      {party(1), initial(1, 2), map[string]Answer{"node-2": wrong}, Step{Wait: "node-2 is node 7, where initial_voters has node 2"}},
		"who knows a leader is believed more":         {party(4), nil, by(knows(1, -1), knows(2, 2, members(1, 2, 3)...)), Step{AdmitAt: "node-2"}},
		"a cluster without members known to this one": {party(2), initial(1, 2, 3), by(knows(3, -1), nothing(1)), Step{Wait: "cluster c has no controller that could admit this node"}},
	}
	for name, tt := range tests {
		if got := Decide(tt.self, tt.initial, tt.answers); !cmp.Equal(got, tt.want) {
			t.Errorf("%s: %s", name, cmp.Diff(tt.want, got))
		}
	}
}

func runs(id, leader int32, term, index uint64) Answer {
	a := knows(id, leader, members(1, 2, 3)...)
	a.Position = Position{Runs: true, LastTerm: term, LastIndex: index}
	return a
}

func TestStands(t *testing.T) {
	at := Position{Runs: true, LastTerm: 3, LastIndex: 10}
	joining := runs(2, -1, 0, 0)
	joining.Position.Runs = false
	replaced := runs(2, -1, 0, 0)
	replaced.From.DirectoryID = [16]byte{77}
	full := runs(1, -1, 3, 11)
	full.Barred = true
	tests := map[string]struct {
		self    int32
		answers map[string]Answer
		want    bool
	}{
		"a majority, all equal, the lowest":                 {1, by(runs(2, -1, 3, 10)), true},
		"a majority, all equal, not the lowest":             {2, by(runs(1, -1, 3, 10)), false},
		"the longest log though not the lowest":             {3, by(runs(1, -1, 3, 9), runs(2, -1, 2, 90)), true},
		"another has more":                                  {1, by(runs(2, -1, 3, 11)), false},
		"alone":                                             {1, by(), false},
		"the other is still joining":                        {1, by(joining), false},
		"the other has another disk than the voter":         {1, by(replaced), false},
		"somebody follows a leader":                         {1, by(runs(2, 3, 3, 10)), false},
		"a leader that says itself that it leads no more":   {1, by(runs(2, 3, 3, 10), runs(3, -1, 3, 10)), true},
		"this one is taken for the leader, and it is not":   {1, by(runs(2, 1, 3, 10)), true},
		"one that has more does not stand":                  {2, by(full, runs(3, -1, 3, 10)), true},
		"one that does not stand is there":                  {3, by(full), true},
		"no voter":                                          {4, by(runs(1, -1, 1, 1), runs(2, -1, 1, 1), runs(3, -1, 1, 1)), false},
		"two follow a leader that nobody else has heard of": {1, by(runs(2, 2, 3, 10)), false},
	}
	for name, tt := range tests {
		if got := Stands(party(tt.self), at, members(1, 2, 3), tt.answers); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func TestFindLeader(t *testing.T) {
	moved := party(2)
	moved.Address = "elsewhere"
	tests := map[string]struct {
		self    Party
		known   int32
		answers map[string]Answer
		address string // "" with found: only this node knows it
		found   bool
		knows   bool
	}{
		"its own word":                  {party(2), -1, by(runs(1, 1, 3, 10), runs(3, 1, 3, 10)), "node-1", true, true},
		"its own word of another place": {moved, 1, by(runs(1, 1, 3, 10)), "node-1", true, false},
		"another's word":                {party(2), -1, by(runs(3, 1, 3, 10)), "node-1", true, true},
		"nobody's":                      {party(2), -1, by(runs(3, -1, 3, 10)), "", false, false},
		"known here only":               {party(2), 1, by(), "", true, true},
		"known here, denied by itself":  {party(2), 1, by(runs(1, -1, 3, 10)), "", false, false},
	}
	for name, tt := range tests {
		l, found := FindLeader(tt.self, tt.known, tt.answers)
		if found != tt.found || l.Address != tt.address || l.Knows(tt.self) != tt.knows {
			t.Errorf("%s: %+v, %v, knows %v", name, l, found, l.Knows(tt.self))
		}
	}
}

func TestMessagesComeBack(t *testing.T) {
	q := Question{Kind: Admit, From: Party{NodeID: 4, DirectoryID: [16]byte{1, 2}, ClusterID: "c", Address: "a:1"}, Position: Position{Runs: true, LastTerm: 2, LastIndex: 3}}
	if back, err := ReadQuestion(bytes.NewReader(AppendQuestion(nil, q))); err != nil || back != q {
		t.Errorf("%+v came back as %+v, %v", q, back, err)
	}
	a := runs(1, 2, 3, 4)
	a.Outcome, a.Reason, a.Barred = Refused, "no", true
	whole := AppendAnswer(nil, a)
	if back, err := ReadAnswer(bytes.NewReader(whole)); err != nil || !cmp.Equal(back, a) {
		t.Errorf("%s, %v", cmp.Diff(a, back), err)
	}
	for cut := range len(whole) {
		if _, err := ReadAnswer(bytes.NewReader(whole[:cut])); err == nil {
			t.Errorf("an answer cut off after %d bytes was read", cut)
		}
	}
	older := bytes.Clone(whole[:len(whole)-1])
	binary.BigEndian.PutUint32(older, uint32(len(older)-4))
	if back, err := ReadAnswer(bytes.NewReader(older)); err != nil || back.Barred || len(back.Members) != len(a.Members) {
		t.Errorf("an answer of a release that did not say who is barred: %+v, %v", back, err)
	}
	newer := append(bytes.Clone(whole), "fields of a newer release"...)
	binary.BigEndian.PutUint32(newer, uint32(len(newer)-4))
	newer[4] = 9
	if back, err := ReadAnswer(bytes.NewReader(newer)); err != nil || !cmp.Equal(back, a) {
		t.Errorf("a newer answer: %s, %v", cmp.Diff(a, back), err)
	}
	if _, err := ReadAnswer(io.MultiReader(strings.NewReader("\xff\xff\xff\xff"), bytes.NewReader(whole))); !errors.Is(err, ErrMalformed) {
		t.Errorf("a huge answer: %v", err)
	}
}

func FuzzMessages(f *testing.F) {
	f.Add(AppendQuestion(nil, Question{From: party(1)}))
	f.Add(AppendAnswer(nil, runs(1, 2, 3, 4)))
	f.Add([]byte{0, 0, 0, 1, 1})
	f.Fuzz(func(t *testing.T, p []byte) {
		if q, err := ReadQuestion(bytes.NewReader(p)); err == nil {
			if back, err := ReadQuestion(bytes.NewReader(AppendQuestion(nil, q))); err != nil || back != q {
				t.Errorf("%+v came back as %+v, %v", q, back, err)
			}
		}
		if a, err := ReadAnswer(bytes.NewReader(p)); err == nil {
			if back, err := ReadAnswer(bytes.NewReader(AppendAnswer(nil, a))); err != nil || !cmp.Equal(back, a) {
				t.Errorf("%s, %v", cmp.Diff(a, back), err)
			}
			_ = Decide(party(1), initial(1, 2, 3), map[string]Answer{"x": a})
			_ = Stands(party(1), Position{}, members(1, 2, 3), map[string]Answer{"x": a})
			_, _ = FindLeader(party(1), 2, map[string]Answer{"x": a})
		}
	})
}
