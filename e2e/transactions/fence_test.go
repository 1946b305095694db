//go:build e2e

package transactions

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace-io/millrace/e2e/harness"
)

// Redpanda v26.1: the fence of a producer was taken back, because it could not be replicated, and later a write of the producer that
// it was to shut out was let in. Here a second producer comes while its coordinator is alone, so that its fence is written and not
// committed; the coordinator dies, and whoever is next may have the fence or not. Once the second producer has committed, the
// first one neither writes nor commits.
func TestAFenceThatWasNotReplicated(t *testing.T) {
	each(t, 3, func(t *testing.T, s *stage, old bool) {
		for round := range 3 {
			id := fmt.Sprint("fenced ", round)
			first := s.producer(old, id)
			first.begin()
			if err := first.write(0, fmt.Sprint(round, " of the first")); err != nil {
				t.Fatal(err)
			}
			alone := s.Node(s.coordinatorOf(id))
			var others []*harness.Node
			for _, n := range s.Nodes() {
				if n != alone {
					n.Pause()
					others = append(others, n)
				}
			}
			second := s.producer(old, id)
			came := make(chan error, 1)
			go func() {
				second.begin()
				came <- second.write(0, fmt.Sprint(round, " of the second"))
			}()
			time.Sleep(700 * time.Millisecond) // the fence is on its way
			if round%2 == 0 {
				alone.Kill()
			}
			for _, n := range others {
				n.Resume()
			}
			if round%2 == 0 {
				alone.Start()
				alone.AwaitServing()
			}
			if err := <-came; err != nil {
				t.Fatalf("the second producer cannot write: %v", err)
			}
			if !second.end(true) {
				t.Fatal("the second producer cannot commit")
			}
			err := first.write(1, fmt.Sprint(round, " of the first, late"))
			if err == nil {
				t.Errorf("round %d: a write of a producer was let in that had been fenced", round)
			}
			if first.end(true) {
				t.Errorf("round %d: a producer committed that had been fenced", round)
			}
			s.mu.Lock()
			for _, value := range first.written {
				s.aborted[value] = true
			}
			s.mu.Unlock()
		}
		s.check(false)
	})
}
