package replica

import (
	"math/rand/v2"
	"testing"
)

// What a fetcher is to name is named once, whatever is named, taken out and sorted in between.
func TestFetcherNamesWhatIsDue(t *testing.T) {
	f := &fetcher{manager: &Manager{}, states: map[partitionKey]*fetchState{}}
	var all []*fetchState
	for i := range int32(50) {
		all = append(all, &fetchState{key: partitionKey{number: i}})
	}
	random := rand.New(rand.NewPCG(1, 2))
	due := map[*fetchState]bool{}
	for range 2000 {
		s := all[random.IntN(len(all))]
		switch random.IntN(5) {
		case 0, 1:
			f.name(s)
			due[s] = true
		case 2, 3:
			f.unname(s)
			delete(due, s)
		default:
			f.prepare(1, 0)
		}
		if len(f.due) != len(due) {
			t.Fatalf("%d are named, due are %d", len(f.due), len(due))
		}
		for _, s := range f.due {
			if !due[s] || !s.named {
				t.Fatalf("partition %d is named and not due", s.key.number)
			}
		}
	}
}
