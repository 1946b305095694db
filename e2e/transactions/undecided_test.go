//go:build e2e

package transactions

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Redpanda #3036: the last stable offset is where a reader stops, and was taken for the last one that it may read.
func TestAnOpenTransactionIsNotRead(t *testing.T) {
	each(t, 1, func(t *testing.T, s *stage, old bool) {
		plain := s.client()
		p := s.producer(old, "open")
		stop := s.watchCommitted()
		for i := range int64(10) { // a plain record, two of the transaction and its marker
			value := fmt.Sprint("plain ", i)
			if err := plain.ProduceSync(t.Context(), &kgo.Record{Topic: stageTopic, Value: []byte(value)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			s.committed = append(s.committed, value)
			p.begin()
			for _, letter := range []string{"a", "b"} {
				if err := p.write(0, fmt.Sprint(i, " ", letter)); err != nil {
					t.Fatal(err)
				}
				s.stableAt(0, 4*i+1)
			}
			if commit := i%2 == 0; p.end(commit) != commit {
				t.Fatalf("transaction %d did not end as asked", i)
			}
			s.awaitStable()
			s.stableAt(0, 4*i+4)
		}
		s.check(false)
		stop()
	})
}

// stableAt wants a last stable offset, and nothing of what lies behind it to be read.
func (s *stage) stableAt(partition int32, want int64) {
	s.t.Helper()
	stable, err := s.admin.ListCommittedOffsets(s.t.Context(), stageTopic)
	if err != nil {
		s.t.Fatal(err)
	}
	if at, ok := stable.Lookup(stageTopic, partition); !ok || at.Err != nil || at.Offset != want {
		s.t.Fatalf("the last stable offset is %d (%v), want %d", at.Offset, at.Err, want)
	}
	reader := s.client(kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(50*time.Millisecond),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{stageTopic: {partition: kgo.NewOffset().At(max(want-1, 0))}}))
	defer reader.Close()
	for last := int64(-1); last < want-1; {
		reader.PollFetches(s.t.Context()).EachRecord(func(r *kgo.Record) {
			if last = r.Offset; last >= want {
				s.t.Errorf("offset %d was read, and the last stable offset is %d", last, want)
			}
		})
	}
}

// Redpanda #7143: after a restart the cleaner worked up to a last stable offset from before the log had been read to its end, and
// records of a transaction that was aborted then had taken the place of committed ones.
func TestCompactionAfterARestartTakesNothingForDecided(t *testing.T) {
	const keys = 30
	padding := strings.Repeat("x", 50<<10)
	for _, old := range []bool{false, true} {
		t.Run(map[bool]string{false: "version 2", true: "version 1"}[old], func(t *testing.T) {
			s := newStageWith(t, 1, map[string]*string{
				"cleanup.policy": kadm.StringPtr("compact"), "segment.bytes": kadm.StringPtr("1048576"), "min.cleanable.dirty.ratio": kadm.StringPtr("0"),
			}, nil)
			p := s.producer(old, "keyed", kgo.ProducerBatchCompression(kgo.NoCompression()))
			node, cleaned := s.Node(1), 0
			for round := range 4 {
				for _, state := range []string{"committed", "open"} {
					p.begin()
					for key := range keys {
						r := &kgo.Record{Topic: stageTopic, Key: fmt.Append(nil, key), Value: fmt.Append(nil, state, " ", round, " ", key, padding)}
						if err := p.client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
							t.Fatal(err)
						}
					}
					if state == "committed" && !p.end(true) {
						t.Fatal("a transaction was not committed")
					}
				}
				if round%2 == 0 {
					node.Stop()
				} else {
					node.Kill()
				}
				node.Start()
				node.AwaitServing()
				s.awaitCleaned(&cleaned)
				p.end(false)
				got := s.readCommitted()
				for key := range keys {
					if got[fmt.Sprint("committed ", round, " ", key, padding)] != 1 {
						t.Errorf("round %d: what was committed last of key %d is gone", round, key)
					}
				}
				for value := range got {
					if strings.HasPrefix(value, "open") {
						t.Errorf("round %d: %.10s was aborted and is there", round, value)
					}
				}
			}
		})
	}
}

// awaitCleaned waits until the node has compacted the topic once more.
func (s *stage) awaitCleaned(before *int) {
	s.t.Helper()
	await(s.t, "the topic is compacted", func(context.Context) error {
		count := 0
		for line := range strings.Lines(s.Node(1).Log()) {
			if strings.Contains(line, "log compacted") && strings.Contains(line, stageTopic+"-0") {
				count++
			}
		}
		if count <= *before {
			return fmt.Errorf("%d times, as before", count)
		}
		*before = count
		return nil
	})
}
