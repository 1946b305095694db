package replica

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

func TestRecordsAreCommittedOnceAllInSyncReplicasHoldThem(t *testing.T) {
	for _, caching := range []string{"false", "true"} {
		t.Run("write.caching="+caching, func(t *testing.T) {
			m := newMesh(t, 3)
			m.create("orders", map[string]string{"write.caching": caching, "min.insync.replicas": "2"}, []int32{1, 2, 3}, []int32{2, 3, 1})
			for i := range 20 {
				for number, leader := range []int32{1, 2} {
					if offset, err := m.append(leader, "orders", int32(number), fmt.Sprint(i)); err != nil || offset != int64(i) {
						t.Fatalf("append %d: offset %d, %v", i, offset, err)
					}
				}
			}
			for id := int32(1); id <= 3; id++ {
				p := m.on(id, "orders", 0)
				if p.LogEndOffset() != 20 {
					t.Errorf("replica %d ends at %d though all is committed", id, p.LogEndOffset())
				}
				if flushed := p.Log().FlushedOffset(); caching == "false" && flushed != 20 {
					t.Errorf("replica %d has flushed %d of 20 committed records", id, flushed)
				}
				m.eventually("every replica knows the high watermark", func() bool { return p.HighWatermark() == 20 && p.HighWatermarkKnown() })
			}
			if _, err := m.append(2, "orders", 0, "x"); !errors.Is(err, kerr.NotLeaderForPartition) {
				t.Errorf("append to a follower: %v", err)
			}
		})
	}
}

func TestFollowerThatIsGoneLeavesTheInSyncSetAndComesBack(t *testing.T) {
	m := newMesh(t, 3)
	m.create("orders", map[string]string{"min.insync.replicas": "2"}, []int32{1, 2, 3})
	mustAppend(t, m, 1, "a")
	m.nodes[3].stop() // it is not fenced: nobody but the leader finds out
	mustAppend(t, m, 1, "b")
	if isr := m.state("orders", 0).ISR; !slices.Equal(isr, []int32{1, 2}) {
		t.Fatalf("in sync are %v", isr)
	}
	m.nodes[2].stop()
	m.fence(2)
	if _, err := m.append(1, "orders", 0, "c"); !errors.Is(err, kerr.NotEnoughReplicas) {
		t.Fatalf("append with one replica in sync: %v", err)
	}
	m.nodes[2].run()
	m.nodes[3].run()
	m.eventually("all are in sync again", func() bool { return len(m.state("orders", 0).ISR) == 3 })
	mustAppend(t, m, 1, "d")
}

func mustAppend(t *testing.T, m *mesh, leader int32, value string) int64 {
	t.Helper()
	offset, err := m.append(leader, "orders", 0, value)
	if err != nil {
		t.Fatalf("append %s: %v", value, err)
	}
	return offset
}

// The leader is cut off, takes records that nobody gets, and comes back as a follower of somebody who went another way.
// None of what it waited to acknowledge is acknowledged, not even once its successor has committed that offset.
func TestDivergedLogIsCutAndNothingOfItAcknowledged(t *testing.T) {
	m := newMesh(t, 3)
	m.create("orders", map[string]string{"min.insync.replicas": "2"}, []int32{1, 2, 3})
	mustAppend(t, m, 1, "common")
	m.nodes[2].setCut(1, true)
	m.nodes[3].setCut(1, true)
	time.Sleep(250 * time.Millisecond) // waits at the leader that were under way end
	old := m.on(1, "orders", 0)
	lost := []log.Entry{entry(t, "lost 1"), entry(t, "lost 2"), entry(t, "lost 3")}
	epoch, err := old.Append(lost, AcksAll, log.OriginClient, AnyEpoch)
	if err != nil {
		t.Fatal(err)
	}
	w := NewWaiter()
	w.Reset(0)
	if !old.AwaitOffset(2, epoch, w) {
		t.Fatal("nobody else has that record")
	}
	m.fence(1)
	<-w.C
	if err := old.Committed(2, epoch); !errors.Is(err, kerr.NotLeaderForPartition) {
		t.Fatalf("a record of a leadership that ended: %v", err)
	}
	leader := m.state("orders", 0).Leader
	for i := range 5 {
		mustAppend(t, m, leader, fmt.Sprint("kept ", i))
	}
	m.must(func(img *image.Image) (command.Group, error) { return m.controller.UnfenceBroker(img, 1), nil })
	m.eventually("the old leader is in sync again", func() bool { return slices.Contains(m.state("orders", 0).ISR, 1) })
	mustAppend(t, m, leader, "last")
	m.sameEverywhere("orders", 0)
	if err := old.Committed(2, epoch); err == nil {
		t.Fatal("a record that was cut away is acknowledged once its offset is committed anew")
	}
	m.must(func(img *image.Image) (command.Group, error) {
		_, group, err := m.controller.ElectLeaders(img, security.DefaultTenant, controller.PreferredElection, nil)
		return group, err
	})
	m.eventually("it leads again", func() bool { return old.Leads() })
	if err := old.Committed(2, epoch); err == nil {
		t.Fatal("a record of an earlier leadership is acknowledged by a later one")
	}
}

// sameEverywhere waits until all replicas that run have all that is committed, and compares them byte by byte.
func (m *mesh) sameEverywhere(topic string, number int32) {
	m.t.Helper()
	state := m.state(topic, number)
	leader := m.on(state.Leader, topic, number)
	end := leader.LogEndOffset()
	m.eventually("everything is committed", func() bool { return leader.HighWatermark() == end })
	want := read(m.t, leader, end)
	for _, id := range state.Replicas {
		p := m.on(id, topic, number)
		if p == nil {
			continue
		}
		m.eventually(fmt.Sprintf("replica %d has everything", id), func() bool { return p.LogEndOffset() == end })
		if got := read(m.t, p, end); !bytes.Equal(got, want) {
			m.t.Errorf("replica %d of %s-%d differs from the leader's: %d bytes, want %d", id, topic, number, len(got), len(want))
		}
	}
}

// Producers write with acks=all while nodes die, lose what they had not synced, and come back. What was acknowledged is
// there at its offset, and all replicas are the same bytes.
func TestAcknowledgedRecordsSurviveCrashes(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			m := newMesh(t, 3)
			const partitions = 3
			m.create("orders", map[string]string{"min.insync.replicas": "2", "segment.bytes": "1048576"}, []int32{1, 2, 3}, []int32{2, 3, 1}, []int32{3, 1, 2})
			var mu sync.Mutex
			acknowledged := map[int32]map[int64]string{}
			ended := make(chan struct{})
			var producers sync.WaitGroup
			for number := range int32(partitions) {
				acknowledged[number] = map[int64]string{}
			}
			for number := range int32(partitions) {
				producers.Go(func() {
					for i := 0; ; i++ {
						select {
						case <-ended:
							return
						default:
						}
						value := fmt.Sprintf("%d-%d", number, i)
						leader := m.state("orders", number).Leader
						if leader < 0 {
							time.Sleep(time.Millisecond)
							continue
						}
						if offset, err := m.append(leader, "orders", number, value); err == nil {
							mu.Lock()
							acknowledged[number][offset] = value
							mu.Unlock()
						}
					}
				})
			}
			for range 6 {
				time.Sleep(time.Duration(20+rng.IntN(60)) * time.Millisecond)
				id := int32(1 + rng.IntN(3))
				m.nodes[id].crash(rng)
				if rng.IntN(2) == 0 {
					m.fence(id)
					time.Sleep(time.Duration(rng.IntN(40)) * time.Millisecond)
				}
				m.nodes[id].run()
				if rng.IntN(2) == 0 {
					m.eventually("all are in sync again", func() bool { return m.inSync("orders", partitions) })
				}
			}
			close(ended)
			producers.Wait()
			m.eventually("all are in sync again", func() bool { return m.inSync("orders", partitions) })
			for number := range int32(partitions) {
				m.sameEverywhere("orders", number)
				checkAcknowledged(t, m, number, acknowledged[number])
			}
		})
	}
}

func (m *mesh) inSync(topic string, partitions int32) bool {
	for number := range partitions {
		if s := m.state(topic, number); len(s.ISR) < len(s.Replicas) {
			return false
		}
	}
	return true
}

func checkAcknowledged(t *testing.T, m *mesh, number int32, want map[int64]string) {
	t.Helper()
	p := m.on(m.state("orders", number).Leader, "orders", number)
	batches, err := checkFetched(nil, read(t, p, p.HighWatermark()), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	got := map[int64]string{}
	for _, b := range batches {
		for r, err := range b.Records(new(record.Decompressor)) {
			if err != nil {
				t.Fatal(err)
			}
			got[b.BaseOffset()+int64(r.OffsetDelta)] = string(r.Value)
		}
	}
	if len(want) == 0 {
		t.Errorf("partition %d: nothing was acknowledged", number)
	}
	for offset, value := range want {
		if got[offset] != value {
			t.Errorf("partition %d: %q was acknowledged at %d, there is %q", number, value, offset, got[offset])
		}
	}
}
