package txn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/millrace-io/millrace/broker/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memoryLog is a transaction topic in memory; a write is committed a millisecond later.
type memoryLog struct {
	mu         sync.Mutex
	partitions map[int32][]record.Batch
}

func (l *memoryLog) Append(_ context.Context, partition int32, b record.Batch, _ int32) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.SetBaseOffset(l.end(partition))
	l.partitions[partition] = append(l.partitions[partition], b)
	return b.NextOffset(), nil
}

func (l *memoryLog) end(partition int32) int64 {
	if batches := l.partitions[partition]; len(batches) > 0 {
		return batches[len(batches)-1].NextOffset()
	}
	return 0
}

func (l *memoryLog) AwaitCommitted(_ int32, _ int64, _ int32, done func(error)) {
	time.AfterFunc(time.Millisecond, func() { done(nil) })
}

func (l *memoryLog) Read(_ context.Context, partition int32, offset int64, _ int) ([]byte, int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.partitions[partition] {
		if b.NextOffset() > offset {
			return b, l.end(partition), nil
		}
	}
	return nil, l.end(partition), nil
}

func (l *memoryLog) LogStartOffset(int32) (int64, error) { return 0, nil }

// cluster is brokers that markers go to. A write takes a millisecond.
type cluster struct {
	mu       sync.Mutex
	leaders  map[Partition]int32   // of partitions that exist
	codes    map[Partition][]int16 // what is answered next; then 0
	deaf     map[int32]bool        // brokers that do not answer
	written  []string
	requests int
}

func (c *cluster) Leader(_, topic string, partition int32) (int32, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	leader, exists := c.leaders[Partition{topic, partition}]
	return leader, exists
}

func (c *cluster) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

func (c *cluster) WriteTxnMarkers(ctx context.Context, nodeID int32, r *kmsg.WriteTxnMarkersRequest) (*kmsg.WriteTxnMarkersResponse, error) {
	time.Sleep(time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	if c.deaf[nodeID] {
		return nil, errors.New("cut")
	}
	answer := r.ResponseKind().(*kmsg.WriteTxnMarkersResponse)
	for _, m := range r.Markers {
		marked := kmsg.WriteTxnMarkersResponseMarker{ProducerID: m.ProducerID}
		for _, t := range m.Topics {
			topic := kmsg.WriteTxnMarkersResponseMarkerTopic{Topic: t.Topic}
			for _, n := range t.Partitions {
				p := Partition{t.Topic, n}
				code := kerr.NotLeaderForPartition.Code
				if c.leaders[p] == nodeID {
					code = 0
				}
				if more := c.codes[p]; len(more) > 0 {
					code, c.codes[p] = more[0], more[1:]
				}
				if code == 0 {
					c.written = append(c.written, fmt.Sprintf("%s-%d %d/%d commit=%v coordinator=%d", t.Topic, n, m.ProducerID, m.ProducerEpoch, m.Committed, m.CoordinatorEpoch))
				}
				topic.Partitions = append(topic.Partitions, kmsg.WriteTxnMarkersResponseMarkerTopicPartition{Partition: n, ErrorCode: code})
			}
			marked.Topics = append(marked.Topics, topic)
		}
		answer.Markers = append(answer.Markers, marked)
	}
	return answer, nil
}

func (c *cluster) take() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.Sort(c.written)
	written := strings.Join(c.written, "; ")
	c.written = nil
	return written
}

// service over three partitions of a memory log, with the topic a of three partitions on brokers 1 to 3.
func service(t *testing.T, registerer prometheus.Registerer) (*Service, *cluster) {
	c := &cluster{leaders: map[Partition]int32{}, codes: map[Partition][]int16{}, deaf: map[int32]bool{}}
	for n := range int32(3) {
		c.leaders[Partition{"a", n}] = n + 1
	}
	next := int64(99)
	s := New(Config{
		Log: &memoryLog{partitions: map[int32][]record.Batch{}}, PartitionCount: func() int32 { return 3 }, Brokers: c, Registerer: registerer,
		NextProducerID: func(context.Context) (int64, error) { next++; return next, nil },
	})
	t.Cleanup(s.Close)
	elect(s, 1)
	return s, c
}

func elect(s *Service, epoch int32) {
	for partition := range int32(3) {
		s.OnElection(partition, epoch)
	}
	synctest.Wait()
}

// began is a transaction with all partitions of a.
func began(t *testing.T, s *Service, id string) Producer {
	t.Helper()
	p, err := s.InitProducerID(t.Context(), defaultTenant, id, 60_000, nobody())
	if err != nil {
		t.Fatal(err)
	}
	addAll(t, s, id, p)
	return p
}

func addAll(t *testing.T, s *Service, id string, p Producer) {
	t.Helper()
	if err := s.AddPartitions(t.Context(), defaultTenant, id, p, []Partition{{"a", 2}, {"a", 0}, {"a", 1}}, 2, false); err != nil {
		t.Fatal(err)
	}
}

func commit(t *testing.T, s *Service, id string, p Producer) Producer {
	t.Helper()
	next, err := s.EndTxn(t.Context(), defaultTenant, id, p, true, 2)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func isNow(t *testing.T, s *Service, id, want string) {
	t.Helper()
	if d, err := s.Describe(t.Context(), defaultTenant, id); err != nil || d.Status != want {
		t.Errorf("%s is %s, error %v, want %s", id, d.Status, err, want)
	}
}

func TestMarkersAreSentUntilTheyAreWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := service(t, nil)
		p := began(t, s, "t")
		c.deaf[2] = true
		c.leaders[Partition{"a", 2}] = -1
		c.codes[Partition{"a", 0}] = []int16{kerr.NotEnoughReplicas.Code, kerr.NotEnoughReplicas.Code}
		next := commit(t, s, "t", p)
		time.Sleep(5 * time.Second)
		if got, want := c.take(), "a-0 100/1 commit=true coordinator=1"; got != want {
			t.Errorf("written %q, want %q", got, want)
		}
		isNow(t, s, "t", "PrepareCommit")
		if err := s.AddPartitions(t.Context(), defaultTenant, "t", next, []Partition{{"a", 0}}, 2, true); err != kerr.ConcurrentTransactions {
			t.Errorf("who cannot wait longer is told %v", err)
		}
		c.set(func() { c.leaders[Partition{"a", 1}], c.leaders[Partition{"a", 2}] = 3, 3 }) // leaders were elected
		time.Sleep(maxMarkerPause + 10*time.Millisecond)
		addAll(t, s, "t", next)
		if got, want := c.take(), "a-1 100/1 commit=true coordinator=1; a-2 100/1 commit=true coordinator=1"; got != want {
			t.Errorf("written %q, want %q", got, want)
		}
		isNow(t, s, "t", "Ongoing")
	})
}

func TestDeletedTopicsNeedNoMarkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := service(t, nil)
		p := began(t, s, "t")
		clear(c.leaders)
		commit(t, s, "t", p)
		time.Sleep(100 * time.Millisecond)
		isNow(t, s, "t", "CompleteCommit")
		if c.requests != 0 {
			t.Errorf("%d requests", c.requests)
		}
	})
}

func TestWhatAMarkerIsAnsweredWith(t *testing.T) {
	for code, want := range map[int16]string{
		kerr.InvalidProducerEpoch.Code:         "CompleteCommit", // it came before
		kerr.UnsupportedForMessageFormat.Code:  "CompleteCommit",
		kerr.TransactionCoordinatorFenced.Code: "PrepareCommit",  // another one coordinates
		kerr.UnknownServerError.Code:           "CompleteCommit", // tried again
	} {
		t.Run(kerr.TypedErrorForCode(code).Message, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := service(t, nil)
				p := began(t, s, "t")
				c.codes[Partition{"a", 1}] = []int16{code}
				commit(t, s, "t", p)
				time.Sleep(time.Second)
				isNow(t, s, "t", want)
			})
		})
	}
}

// What ends while requests are under way shares the next one.
func TestMarkersOfManyTransactionsShareRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := service(t, nil)
		const count = 50
		producers := make([]Producer, count)
		for i := range producers {
			producers[i] = began(t, s, fmt.Sprint("t", i))
		}
		var all sync.WaitGroup
		for i, p := range producers {
			all.Go(func() { commit(t, s, fmt.Sprint("t", i), p) })
		}
		all.Wait()
		time.Sleep(100 * time.Millisecond)
		if got := strings.Count(c.take(), "commit=true"); got != 3*count || c.requests > 3*(count/2) {
			t.Errorf("%d markers in %d requests", got, c.requests)
		}
		list, err := s.List(t.Context(), defaultTenant, Filter{States: []string{"CompleteCommit"}, DurationMillis: -1})
		if err != nil || len(list) != count {
			t.Errorf("%d complete, error %v", len(list), err)
		}
	})
}

// A coordinator that lost its partition sends no more, and completes nothing; the next one does it all again.
func TestANewCoordinatorSendsEverythingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := service(t, nil)
		p := began(t, s, "t")
		c.deaf[2] = true
		commit(t, s, "t", p)
		time.Sleep(50 * time.Millisecond)
		c.take()
		for partition := range int32(3) {
			s.OnResignation(partition)
		}
		c.set(func() { c.deaf[2] = false })
		time.Sleep(5 * time.Second)
		if got := c.take(); got != "" {
			t.Errorf("written after the partition was lost: %q", got)
		}
		if _, err := s.Describe(t.Context(), defaultTenant, "t"); err != kerr.NotCoordinator {
			t.Errorf("described: %v", err)
		}
		elect(s, 7)
		time.Sleep(100 * time.Millisecond)
		if got := c.take(); strings.Count(got, "100/1 commit=true coordinator=7") != 3 {
			t.Errorf("written by the next coordinator: %q", got)
		}
		isNow(t, s, "t", "CompleteCommit")
	})
}

func TestRequestsThatAreNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := service(t, nil)
		for _, id := range []string{"", strings.Repeat("x", maxIDBytes+1)} {
			if _, err := s.InitProducerID(t.Context(), defaultTenant, id, 1000, nobody()); err != kerr.InvalidRequest {
				t.Errorf("initialised: %v", err)
			}
			if err := s.AddPartitions(t.Context(), defaultTenant, id, nobody(), nil, 0, false); err != kerr.InvalidRequest {
				t.Errorf("added: %v", err)
			}
			if _, err := s.EndTxn(t.Context(), defaultTenant, id, nobody(), true, 2); err != kerr.InvalidRequest {
				t.Errorf("ended: %v", err)
			}
		}
		for _, timeout := range []int32{0, -1, DefaultSettings().MaxTimeoutMillis + 1} {
			if _, err := s.InitProducerID(t.Context(), defaultTenant, "t", timeout, nobody()); err != kerr.InvalidTransactionTimeout {
				t.Errorf("a timeout of %d: %v", timeout, err)
			}
		}
		if got := PartitionFor(defaultTenant, "foo", 50); got != 24 {
			t.Errorf("partition %d", got)
		}
	})
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		s, _ := service(t, registry)
		p := began(t, s, "t")
		next := commit(t, s, "t", p)
		addAll(t, s, "t", next)
		began(t, s, "u")
		s.OnResignation(PartitionFor(defaultTenant, "u", 3))
		synctest.Wait()
		want := `
# HELP millrace_transaction_coordinator_markers_total Markers written, or not needed because the partition was deleted.
# TYPE millrace_transaction_coordinator_markers_total counter
millrace_transaction_coordinator_markers_total 3
# HELP millrace_transaction_coordinator_held_requests_total Requests that waited for the completion of the transaction before.
# TYPE millrace_transaction_coordinator_held_requests_total counter
millrace_transaction_coordinator_held_requests_total 1
`
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "millrace_transaction_coordinator_markers_total", "millrace_transaction_coordinator_held_requests_total"); err != nil {
			t.Error(err)
		}
	})
}
