//go:build e2e

package transactions

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// lastEpoch is the last one that a producer is given.
const lastEpoch = math.MaxInt16 - 1

// TestEpochsAreUsedUp has a producer come again and again until its id has few epochs left, and then transactions until it has
// another id: with version 2 the last end gives it, with version 1 the next InitProducerId. Nothing is lost, and who speaks of
// the id before is answered as Kafka answers.
func TestEpochsAreUsedUp(t *testing.T) {
	for _, old := range []bool{false, true} {
		t.Run(map[bool]string{false: "version 2", true: "version 1"}[old], func(t *testing.T) {
			useUp(t, newStageWith(t, 1, nil, map[string]string{"write.caching.default": "true"}), old) // thirty thousand writes
		})
	}
}

func useUp(t *testing.T, s *stage, old bool) {
	p := s.speaker(old, "exhausted")
	p.want("init", p.init(), nil)
	p.spend(lastEpoch - 20)
	first := p.producerID
	p.producerID, p.epoch = -1, -1
	p.want("init", p.init(), nil)
	if p.producerID != first || p.epoch > lastEpoch {
		t.Fatalf("has %d/%d, want an epoch of %d", p.producerID, p.epoch, first)
	}
	var before speaker
	rotated := false
	for i := range 60 {
		if before = *p; old {
			p.want("init", p.init(), nil)
			p.want("add", p.add(0), nil)
		}
		if rotated = rotated || p.producerID != first; p.epoch > lastEpoch || p.producerID == before.producerID && old && p.epoch != before.epoch+1 {
			t.Fatalf("transaction %d: %d/%d after %d/%d", i, p.producerID, p.epoch, before.producerID, before.epoch)
		}
		value := fmt.Sprint("of transaction ", i)
		before = *p
		p.want(value, p.produce(0, value), nil)
		commit := i%3 != 2
		p.want("end", p.end(commit), nil)
		if commit {
			s.committed = append(s.committed, value)
		} else {
			s.aborted[value] = true
		}
		if p.producerID != before.producerID {
			p.afterRotation(before, commit)
		}
	}
	if !rotated && p.producerID == first {
		t.Fatalf("the producer has %d/%d and should have another id", p.producerID, p.epoch)
	}
	if old { // the id before is nobody's
		late := *p
		late.producerID, late.epoch = first, lastEpoch
		p.want("an end of the id before", late.end(true), kerr.InvalidProducerIDMapping)
		p.want("an addition of the id before", late.add(0), kerr.InvalidProducerIDMapping)
	}
	s.check(false)
}

// afterRotation asks what may still be on its way when a producer of version 2 has got another id.
func (p *speaker) afterRotation(before speaker, commit bool) {
	p.stage.t.Helper()
	if before.epoch != lastEpoch || p.epoch != 0 {
		p.stage.t.Fatalf("%d/%d follows %d/%d", p.producerID, p.epoch, before.producerID, before.epoch)
	}
	again := before
	p.want("the last end once more", again.end(commit), nil)
	if again.producerID != p.producerID || again.epoch != p.epoch {
		p.stage.t.Fatalf("the last end once more gives %d/%d, and gave %d/%d", again.producerID, again.epoch, p.producerID, p.epoch)
	}
	again = before
	p.want("the last end otherwise", again.end(!commit), kerr.InvalidTxnState)
	p.stage.awaitStable()
	again = before
	again.sequences = map[int32]int32{}
	p.stage.aborted["late"] = true
	p.want("a write of the id before", again.produce(0, "late"), kerr.InvalidProducerEpoch)
	again.epoch--
	p.want("an end of an earlier epoch", again.end(commit), kerr.InvalidProducerIDMapping)
}

// spend has so many producers come, each of which takes an epoch. They do not wait for each other.
func (p *speaker) spend(epochs int) {
	p.stage.t.Helper()
	left := make(chan struct{}, epochs)
	for range epochs {
		left <- struct{}{}
	}
	close(left)
	var work sync.WaitGroup
	for range 50 {
		client := p.stage.client() // a connection of its own: requests on one are answered one after the other
		work.Go(func() {
			for range left {
				r := kmsg.NewPtrInitProducerIDRequest()
				r.TransactionalID, r.TransactionTimeoutMillis, r.ProducerID, r.ProducerEpoch = &p.id, 60_000, -1, -1
				answer, err := r.RequestWith(p.stage.t.Context(), client)
				if err == nil {
					err = kerr.ErrorForCode(answer.ErrorCode)
				}
				if err != nil {
					p.stage.t.Errorf("init: %v", err)
					return
				}
			}
		})
	}
	work.Wait()
	if p.stage.t.Failed() {
		p.stage.t.FailNow()
	}
}

// TestATransactionalIDExpires lets nobody use a transactional id for so long that its coordinator forgets it. Its producer is told
// so, as Kafka tells it, and goes on under another producer id.
func TestATransactionalIDExpires(t *testing.T) {
	for _, old := range []bool{false, true} {
		t.Run(map[bool]string{false: "version 2", true: "version 1"}[old], func(t *testing.T) {
			s := newStageWith(t, 1, nil, map[string]string{
				"transactional.id.expiration.ms": "1500", "transaction.remove.expired.transaction.cleanup.interval.ms": "200",
			})
			p := s.speaker(old, "idle")
			transact := func(value string) {
				t.Helper()
				if old {
					p.want("add", p.add(0), nil)
				}
				p.want(value, p.produce(0, value), nil)
				p.want("commit", p.end(true), nil)
				s.committed = append(s.committed, value)
			}
			p.want("init", p.init(), nil)
			for i := range 3 {
				transact(fmt.Sprint(i, " before"))
				s.awaitExpired(p)
				before := *p
				if old {
					p.want("an addition", p.add(0), kerr.InvalidProducerIDMapping)
				} else {
					p.want("a write", p.produce(0, "of nobody"), kerr.InvalidProducerIDMapping)
				}
				p.want("a commit", p.end(true), kerr.InvalidProducerIDMapping)
				p.want("an abort", p.end(false), kerr.InvalidProducerIDMapping)
				p.want("init", p.init(), nil)
				if p.producerID == before.producerID || p.epoch != 0 {
					t.Fatalf("%d/%d follows %d/%d, which was forgotten", p.producerID, p.epoch, before.producerID, before.epoch)
				}
				transact(fmt.Sprint(i, " after"))
			}
			s.aborted["of nobody"] = true
			s.check(false)
		})
	}
}

// awaitExpired waits until the coordinator knows nothing of a transactional id, neither by its name nor in its list.
func (s *stage) awaitExpired(p *speaker) {
	s.t.Helper()
	await(s.t, "a transactional id expires", func(ctx context.Context) error {
		described, err := s.admin.DescribeTransactions(ctx, p.id)
		if err != nil && !errors.Is(err, kerr.TransactionalIDNotFound) {
			return err
		}
		if d := described[p.id]; d.Err != kerr.TransactionalIDNotFound {
			return fmt.Errorf("it is %s (%v)", d.State, d.Err)
		}
		listed, err := s.admin.ListTransactions(ctx, nil, nil)
		if err == nil && len(listed) > 0 {
			err = fmt.Errorf("listed are %v", listed.TransactionalIDs())
		}
		return err
	})
}
