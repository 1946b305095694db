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
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/config"
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

// A leader hands over while it waits for a follower to have a record. Its successor has that record, and once it is committed
// who waits hears so: the answer is no error, upon which a producer without idempotence would write the record again.
func TestRecordOfAnEndedLeadershipIsAcknowledgedOnceItsSuccessorHasCommittedIt(t *testing.T) {
	m := newMesh(t, 3)
	m.create("orders", map[string]string{"min.insync.replicas": "3"}, []int32{1, 2, 3})
	mustAppend(t, m, 1, "common")
	m.nodes[3].setCut(1, true)
	old, successor := m.on(1, "orders", 0), m.on(2, "orders", 0)
	epoch, err := old.Append([]log.Entry{entry(t, "in flight")}, AcksAll, log.OriginClient, AnyEpoch)
	if err != nil {
		t.Fatal(err)
	}
	m.eventually("the successor has the record", func() bool { return successor.LogEndOffset() == 2 })
	before, late := NewWaiter(), NewWaiter()
	if !old.AwaitOffset(2, epoch, before) {
		t.Fatal("replica 3 cannot have the record")
	}
	m.nodes[3].setCut(2, true) // the successor cannot commit it, either
	m.handOver("orders", 2, 1, 3)
	if !old.AwaitOffset(2, epoch, late) {
		t.Fatal("who comes to wait after the hand-over is turned away")
	}
	select {
	case <-before.C:
		t.Fatal("who waits is told before anything is known")
	default:
	}
	m.nodes[3].setCut(2, false)
	<-before.C
	<-late.C
	if err := old.Committed(2, epoch); err != nil {
		t.Fatalf("a record that the successor has committed: %v", err)
	}
	m.sameEverywhere("orders", 0)
}

// Who waits for a successor that does not answer is let go.
func TestWaitForASilentSuccessorEnds(t *testing.T) {
	m := newMesh(t, 3)
	m.create("orders", map[string]string{"min.insync.replicas": "2"}, []int32{1, 2, 3})
	mustAppend(t, m, 1, "common")
	m.nodes[2].setCut(1, true)
	m.nodes[3].setCut(1, true)
	old := m.on(1, "orders", 0)
	epoch, err := old.Append([]log.Entry{entry(t, "in flight")}, AcksAll, log.OriginClient, AnyEpoch)
	if err != nil {
		t.Fatal(err)
	}
	w := NewWaiter()
	if !old.AwaitOffset(2, epoch, w) {
		t.Fatal("nobody else has that record")
	}
	m.nodes[1].setCut(2, true)
	m.handOver("orders", 2, 1, 3)
	<-w.C
	if err := old.Committed(2, epoch); !errors.Is(err, kerr.NotLeaderForPartition) {
		t.Fatalf("a record of which nothing is known: %v", err)
	}
}

// handOver makes the first of the replicas of partition 0 its leader.
func (m *mesh) handOver(topic string, replicas ...int32) {
	m.t.Helper()
	m.must(func(img *image.Image) (command.Group, error) {
		errs, group := m.controller.AlterReassignments(img, security.DefaultTenant,
			[]controller.Reassignment{{Topic: topic, Partition: 0, Replicas: replicas}}, true)
		return group, errors.Join(errs...)
	})
	m.must(func(img *image.Image) (command.Group, error) {
		_, group, err := m.controller.ElectLeaders(img, security.DefaultTenant, controller.PreferredElection, nil)
		return group, err
	})
	if leader := m.state(topic, 0).Leader; leader != replicas[0] {
		m.t.Fatalf("leader is %d", leader)
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

// A producer whose leader dies sends its last batches again to the next one, which must know them: Redpanda's finding #3039.
func TestNewLeaderKnowsDuplicates(t *testing.T) {
	m := newMesh(t, 3)
	m.create("orders", map[string]string{"min.insync.replicas": "2"}, []int32{1, 2, 3})
	idempotent := func(sequence int32) []log.Entry {
		b := record.NewBuilder(record.BuilderOptions{HasProducer: true, ProducerID: 7, ProducerEpoch: 0, BaseSequence: sequence})
		b.Append(time.Now().UnixMilli(), nil, []byte("x"), nil)
		built, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return []log.Entry{{Batch: built}}
	}
	var first []log.Entry
	for sequence := range int32(5) {
		entries := idempotent(sequence)
		epoch, err := m.on(1, "orders", 0).Append(entries, AcksAll, log.OriginClient, AnyEpoch)
		if err != nil || entries[0].Err != nil {
			t.Fatal(err, entries[0].Err)
		}
		p := m.on(1, "orders", 0)
		m.eventually("it is committed", func() bool { return p.Committed(entries[0].LastOffset+1, epoch) == nil })
		first = append(first, entries[0])
	}
	m.nodes[1].crash(rand.New(rand.NewPCG(1, 1)))
	m.fence(1)
	leader := m.on(m.state("orders", 0).Leader, "orders", 0)
	for sequence := range int32(5) {
		entries := idempotent(sequence)
		if _, err := leader.Append(entries, AcksAll, log.OriginClient, AnyEpoch); err != nil || entries[0].Err != nil {
			t.Fatal(err, entries[0].Err)
		}
		if !entries[0].Duplicate || entries[0].BaseOffset != first[sequence].BaseOffset {
			t.Errorf("batch %d sent again: duplicate %v at offset %d, it was at %d", sequence, entries[0].Duplicate, entries[0].BaseOffset, first[sequence].BaseOffset)
		}
	}
}

// A follower comes back and its leader has deleted all that it lacks, up to the middle of a batch.
func TestFollowerBeginsAnewWhereItsLeaderBegins(t *testing.T) {
	m := newMesh(t, 3)
	m.create("orders", map[string]string{"min.insync.replicas": "1"}, []int32{1, 2, 3})
	mustAppend(t, m, 1, "a")
	m.nodes[3].stop()
	m.fence(3)
	leader := m.on(1, "orders", 0)
	for range 5 {
		entries := []log.Entry{entry(t, "one", "two", "three")}
		if _, err := leader.Append(entries, 1, log.OriginClient, AnyEpoch); err != nil {
			t.Fatal(err)
		}
	}
	m.eventually("it is committed", func() bool { return leader.HighWatermark() == 16 })
	target, _, err := leader.DeleteRecords(8)
	if err != nil {
		t.Fatal(err)
	}
	m.eventually("the living follower has deleted, too", func() bool { return leader.LowWatermark() == target })
	m.nodes[3].run()
	m.eventually("it is in sync", func() bool { return len(m.state("orders", 0).ISR) == 3 })
	p := m.on(3, "orders", 0)
	m.eventually("it begins where the leader does", func() bool { return p.LogStartOffset() == 8 && p.LogEndOffset() == 16 })
	if got, want := read(t, p, 16), read(t, leader, 16); !bytes.Equal(got, want) {
		t.Errorf("%d bytes, the leader has %d", len(got), len(want))
	}
}

func TestReplicaMovesToAnotherBroker(t *testing.T) {
	m := newMesh(t, 3)
	m.create("orders", nil, []int32{1, 2})
	m.create("others", nil, []int32{1, 2, 3}) // so that fetchers wait at leader 1
	for i := range 10 {
		mustAppend(t, m, 1, fmt.Sprint(i))
	}
	old := m.on(2, "orders", 0)
	m.must(func(img *image.Image) (command.Group, error) {
		errs, group := m.controller.AlterReassignments(img, security.DefaultTenant,
			[]controller.Reassignment{{Topic: "orders", Partition: 0, Replicas: []int32{1, 3}}}, true)
		return group, errors.Join(errs...)
	})
	m.eventually("the new replica is in sync and the old one is none", func() bool {
		s := m.state("orders", 0)
		return slices.Equal(s.Replicas, []int32{1, 3}) && slices.Equal(s.ISR, []int32{1, 3})
	})
	m.sameEverywhere("orders", 0)
	m.eventually("the old one is gone", func() bool { return m.on(2, "orders", 0) == nil && old.removed.Load() })
	if dirs := m.nodes[2].dir.Partitions(); slices.ContainsFunc(dirs, func(tp log.TopicPartition) bool { return tp.Topic == "orders" }) {
		t.Errorf("broker 2 still has %v", dirs)
	}
	mustAppend(t, m, 1, "after")
}

func TestFetchedBatchesAreChecked(t *testing.T) {
	good := entry(t, "x").Batch
	good.SetPartitionLeaderEpoch(4)
	damaged, later := bytes.Clone(good), record.Batch(bytes.Clone(good))
	damaged[len(damaged)-1] ^= 1
	later.SetPartitionLeaderEpoch(6)
	for name, test := range map[string]struct {
		records []byte
		ok      bool
	}{
		"as written": {good, true}, "two": {append(bytes.Clone(good), good...), true}, "a bit flipped": {damaged, false},
		"cut short": {good[:len(good)-1], false}, "of a later epoch": {later, false}, "garbage": {[]byte("garbage"), false},
	} {
		if _, err := checkFetched(nil, test.records, 5); (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzFetchAnswer(f *testing.F) {
	answer := kmsg.NewPtrFetchResponse()
	answer.Version = fetchVersion
	topic := kmsg.NewFetchResponseTopic()
	p := kmsg.NewFetchResponseTopicPartition()
	p.RecordBatches = []byte("records")
	p.DivergingEpoch.Epoch, p.DivergingEpoch.EndOffset = 3, 10
	topic.Partitions = append(topic.Partitions, p)
	answer.Topics = append(answer.Topics, topic)
	f.Add(answer.AppendTo(nil))
	f.Fuzz(func(t *testing.T, body []byte) {
		var a fetchAnswer
		if a.ReadFrom(body) != nil {
			return
		}
		total := 0
		for _, part := range a.parts {
			total += len(part.records)
		}
		if total > len(body) {
			t.Fatalf("%d bytes of records in %d", total, len(body))
		}
	})
}

func TestThrottleThatIsChangedLetsGoOfWhoRestsForIt(t *testing.T) {
	for _, kind := range []string{"leader", "follower"} {
		t.Run(kind, func(t *testing.T) {
			m := newMesh(t, 3)
			setRate := func(rate string) {
				m.must(func(*image.Image) (command.Group, error) {
					return command.Group{command.SetConfig{Resource: config.Resource{Type: config.BrokerResource},
						Values: map[string]*string{kind + ".replication.throttled.rate": &rate}}}, nil
				})
			}
			setRate("1")
			m.create("orders", map[string]string{kind + ".replication.throttled.replicas": "*"}, []int32{1, 2})
			for i := range 10 {
				mustAppend(t, m, 1, fmt.Sprint(i))
			}
			m.nodes[1].running().throttles.leader.take(1<<20, time.Now()) // as after copying for others
			m.must(func(img *image.Image) (command.Group, error) {
				errs, group := m.controller.AlterReassignments(img, security.DefaultTenant,
					[]controller.Reassignment{{Topic: "orders", Partition: 0, Replicas: []int32{1, 3}}}, true)
				return group, errors.Join(errs...)
			})
			if kind == "follower" {
				m.eventually("the first answer is there", func() bool { p := m.on(3, "orders", 0); return p != nil && p.LogEndOffset() == 10 })
			}
			setRate("1000000000")
			m.eventually("the replica has moved", func() bool { return slices.Equal(m.state("orders", 0).ISR, []int32{1, 3}) })
		})
	}
}
