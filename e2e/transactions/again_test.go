//go:build e2e

package transactions

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Redpanda #3039: a write that arrived twice was there twice, though the producer numbers its batches. Here each write of a
// transaction arrives once more within it, and once more after its end: no record is there twice, and none of them begins
// a transaction that nobody ends.
func TestALateWriteIsNotThereTwice(t *testing.T) {
	each(t, 1, func(t *testing.T, s *stage, old bool) {
		network := &lateNetwork{}
		p := s.producer(old, "writer", kgo.Dialer(network.dial))
		came := 0
		for i := range 20 {
			p.begin()
			for _, letter := range []string{"a", "b"} {
				if err := p.write(0, fmt.Sprint(i, " ", letter)); err != nil {
					t.Fatalf("transaction %d, write %s: %v", i, letter, err)
				}
			}
			n, _ := network.deliver(t, kmsg.Produce, true)
			if commit := i%3 != 2; p.end(commit) != commit {
				t.Fatalf("transaction %d did not end as asked", i)
			}
			m, _ := network.arrive(t, kmsg.Produce)
			came += n + m
		}
		if came == 0 {
			t.Error("nothing came late: the test has shown nothing")
		}
		s.check(false)
	})
}

// Bufstream 0.1.0: what a fetch filters hid committed records from consumers that lag. Producers of both versions commit and
// abort side by side; readers that take a batch at a time, a few, or all at once see the same.
func TestLaggingReadersMissNothing(t *testing.T) {
	s := newStage(t, 1)
	old, current := s.producer(true, "old"), s.producer(false, "new")
	for i := range 60 {
		old.begin()
		current.begin()
		for j := range 4 {
			for _, p := range []*producer{old, current} {
				if err := p.write(int32(j%stagePartitions), fmt.Sprint(p == old, " ", i, " ", j)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for at, p := range []*producer{old, current} {
			if commit := (i+at)%3 != 0; p.end(commit) != commit {
				t.Fatalf("transaction %d did not end as asked", i)
			}
		}
	}
	for _, maxBytes := range []int32{1, 700, 1 << 20} {
		s.check(false, kgo.FetchMaxPartitionBytes(maxBytes), kgo.FetchMaxBytes(maxBytes))
	}
}
