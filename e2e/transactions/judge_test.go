package transactions

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A checker that cannot fail proves nothing: each history has one fault, which is found, or none.
func TestTheJudgeFindsEveryFault(t *testing.T) {
	const records = 12
	var whole []*kgo.Record
	for i := range records {
		whole = append(whole, original(i))
	}
	aborted := original(5)
	aborted.Headers = []kgo.RecordHeader{{Key: abortedHeader}}
	for name, test := range map[string]struct {
		history []*kgo.Record
		faulty  bool
	}{
		"the copy":               {whole, false},
		"a record twice":         {append(whole[:3:3], whole[2:]...), true},
		"a record is missing":    {append(whole[:4:4], whole[5:]...), true},
		"an aborted record":      {append(whole[:5:5], append([]*kgo.Record{aborted}, whole[6:]...)...), true},
		"out of order":           {append([]*kgo.Record{whole[4], whole[0]}, whole[1:]...), true},
		"more than the original": {append(whole[:records:records], original(records)), true},
		"something else":         {[]*kgo.Record{{Value: []byte("x")}}, true},
	} {
		j, found := newJudge(records), false
		for _, r := range test.history {
			found = j.hear(r) != "" || found
		}
		if found != test.faulty {
			t.Errorf("%s: found %v, want %v", name, found, test.faulty)
		}
	}
}
