//go:build e2e

package transactions

import (
	"fmt"
	"testing"
)

// each runs a regression with a producer of transaction version 1 and one of version 2.
func each(t *testing.T, nodes int, run func(t *testing.T, s *stage, old bool)) {
	for _, old := range []bool{false, true} {
		t.Run(map[bool]string{false: "version 2", true: "version 1"}[old], func(t *testing.T) { run(t, newStage(t, nodes), old) })
	}
}

// Redpanda 21.10: writes of a transaction were lost when leadership moved before its end; #7544: the last stable offset
// went back at a change of leaders; #5090, #10671: what a leader had not yet from its predecessor was told as decided, and
// readers saw what was aborted.
func TestTransactionsSurviveTheLossOfLeaders(t *testing.T) {
	each(t, 3, func(t *testing.T, s *stage, old bool) {
		stop, read := s.watchStable(), s.watchCommitted()
		p := s.producer(old, "survivor")
		for round := range 6 {
			values := roundValues(round, 2*stagePartitions)
			p.begin()
			var failed error
			for i, value := range values[:stagePartitions] {
				if err := p.write(int32(i), value); err != nil {
					failed = err
				}
			}
			victim := s.leaderOf(stageTopic, int32(round%stagePartitions))
			if round%2 == 1 {
				victim = s.coordinatorOf("survivor")
			}
			s.Node(victim).Kill()
			for i, value := range values[stagePartitions:] {
				if err := p.write(int32(i), value); err != nil {
					failed = err
				}
			}
			p.end(failed == nil && round%3 != 2)
			s.Node(victim).Start()
			s.Node(victim).AwaitServing()
		}
		stop()
		s.check(false)
		read()
	})
}

// Bufstream 0.1.0: in a healthy cluster a commit was ignored when the producer had come back with another epoch.
func TestACommitOfEveryEpochCounts(t *testing.T) {
	each(t, 1, func(t *testing.T, s *stage, old bool) {
		for i := range 20 {
			p := s.producer(old, "returning")
			for j := range 3 {
				p.begin()
				for partition := range int32(stagePartitions) {
					if err := p.write(partition, fmt.Sprintf("%d.%d on %d", i, j, partition)); err != nil {
						t.Fatal(err)
					}
				}
				if p.end(j != 1) != (j != 1) {
					t.Fatalf("transaction %d of incarnation %d did not end as asked", j, i)
				}
			}
			if i%2 == 0 { // leaves one open: the next incarnation aborts it
				p.begin()
				_ = p.write(0, fmt.Sprintf("%d left open", i))
				s.mu.Lock()
				s.aborted[fmt.Sprintf("%d left open", i)] = true
				s.mu.Unlock()
			}
			p.client.Close()
		}
		last := s.producer(old, "returning")
		last.begin()
		if err := last.write(0, "last"); err != nil || !last.end(true) {
			t.Fatal(err)
		}
		s.check(false)
	})
}
