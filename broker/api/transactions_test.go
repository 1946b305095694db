package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/verify"
	"github.com/millrace-io/millrace/metadata/image"
)

// scriptedCoordinator answers what partitions ask transaction coordinators. before is called with each request.
type scriptedCoordinator struct {
	mu     sync.Mutex
	asked  []string
	code   int16
	before func()
}

func (s *scriptedCoordinator) send(_ context.Context, _ int32, r *kmsg.AddPartitionsToTxnRequest) (*kmsg.AddPartitionsToTxnResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.before != nil {
		s.before()
	}
	answer := r.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
	for _, asked := range r.Transactions {
		t := kmsg.NewAddPartitionsToTxnResponseTransaction()
		t.TransactionalID = asked.TransactionalID
		for _, a := range asked.Topics {
			s.asked = append(s.asked, fmt.Sprintf("%s %s %v verify=%v", asked.TransactionalID, a.Topic, a.Partitions, asked.VerifyOnly))
			topic := kmsg.NewAddPartitionsToTxnResponseTransactionTopic()
			topic.Topic = a.Topic
			for _, n := range a.Partitions {
				topic.Partitions = append(topic.Partitions, kmsg.AddPartitionsToTxnResponseTransactionTopicPartition{Partition: n, ErrorCode: s.code})
			}
			t.Topics = append(t.Topics, topic)
		}
		answer.Transactions = append(answer.Transactions, t)
	}
	if s.code == kerr.NetworkException.Code {
		return nil, errors.New("cut")
	}
	return answer, nil
}

// set changes what is answered, or done before an answer.
func (s *scriptedCoordinator) set(code int16, before func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.code, s.before = code, before
}

func (s *scriptedCoordinator) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

func (s *scriptedCoordinator) verifier(t testing.TB) *verify.Verifier {
	v := verify.New(verify.Config{
		NodeID: 1, Coordinator: func(string) (int32, bool) { return 1, true }, Send: s.send, Timeout: time.Minute,
		Patience: func() time.Duration { return 10 * time.Millisecond }, Pause: func() time.Duration { return time.Millisecond },
		Enabled: func() bool { return true }, Logger: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(v.Close)
	return v
}

// transactional is a batch of producer 7.
func transactional(t testing.TB, epoch int16, sequence int32, values ...string) record.Batch {
	t.Helper()
	b := record.NewBuilder(record.BuilderOptions{PartitionLeaderEpoch: -1, HasProducer: true, ProducerID: 7, ProducerEpoch: epoch,
		BaseSequence: sequence, Transactional: true})
	for _, v := range values {
		b.Append(time.Now().UnixMilli(), nil, []byte(v), nil)
	}
	built, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return built
}

func transactionalProduce(version int16, id image.TopicID, records ...record.Batch) *kmsg.ProduceRequest {
	txn := "mover"
	r := produceOf(version, -1, "orders", id, 0, records[0])
	r.TransactionID = &txn
	for i, b := range records[1:] {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = int32(i+1), b
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, p)
	}
	return r
}

func markersOf(version int16, epoch int16, transactionVersion int8, committed bool, partitions ...int32) *kmsg.WriteTxnMarkersRequest {
	r := kmsg.NewPtrWriteTxnMarkersRequest()
	r.Version = version
	m := kmsg.NewWriteTxnMarkersRequestMarker()
	m.ProducerID, m.ProducerEpoch, m.Committed, m.TransactionVersion = 7, epoch, committed, transactionVersion
	m.Topics = []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: "orders", Partitions: partitions}}
	r.Markers = append(r.Markers, m)
	return r
}

// end writes a marker and returns the codes.
func (c *client) end(r *kmsg.WriteTxnMarkersRequest) (codes []int16) {
	c.t.Helper()
	for _, m := range c.request(r).(*kmsg.WriteTxnMarkersResponse).Markers {
		for _, topic := range m.Topics {
			for _, p := range topic.Partitions {
				codes = append(codes, p.ErrorCode)
			}
		}
	}
	return codes
}

func produceCodes(r kmsg.Response) (codes []int16) {
	for _, t := range r.(*kmsg.ProduceResponse).Topics {
		for _, p := range t.Partitions {
			codes = append(codes, p.ErrorCode)
		}
	}
	return codes
}

func startTransactional(t testing.TB, partitions int) (*testNode, *scriptedCoordinator, image.TopicID) {
	n, s := startNode(t), &scriptedCoordinator{}
	n.services.Transactions = s.verifier(t)
	return n, s, n.topic("orders", partitions, nil)
}

func TestOneQuestionForAllPartitionsThatATransactionBeginsOn(t *testing.T) {
	for _, version := range []int16{9, 11, 12, 13} {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			n, coordinator, id := startTransactional(t, 3)
			c := n.dial()
			answer := c.request(transactionalProduce(version, id, transactional(t, 0, 0, "a"), transactional(t, 0, 0, "b"), transactional(t, 0, 0, "c")))
			if codes := produceCodes(answer); !slices.Equal(codes, []int16{0, 0, 0}) {
				t.Fatalf("%v", codes)
			}
			if asked, want := coordinator.take(), []string{fmt.Sprintf("mover orders [0 1 2] verify=%v", version < 12)}; !slices.Equal(asked, want) {
				t.Fatalf("asked %v, want %v", asked, want)
			}
			if codes := produceCodes(c.request(transactionalProduce(version, id, transactional(t, 0, 1, "d")))); codes[0] != 0 {
				t.Fatalf("%v", codes)
			}
			if asked := coordinator.take(); asked != nil {
				t.Fatalf("asked %v about an open transaction", asked)
			}
			if codes := c.end(markersOf(1, 0, 0, true, 0, 1, 2)); !slices.Equal(codes, []int16{0, 0, 0}) {
				t.Fatalf("markers: %v", codes)
			}
			fetch := fetchOf(12, "orders", image.TopicID{}, map[int32]int64{0: 0})
			fetch.IsolationLevel = 1
			p := c.request(fetch).(*kmsg.FetchResponse).Topics[0].Partitions[0]
			if p.LastStableOffset != 3 || len(p.AbortedTransactions) != 0 {
				t.Fatalf("%+v", p)
			}
		})
	}
}

func TestWhatTheCoordinatorRefusesIsToldInWordsOfTheProducersVersion(t *testing.T) {
	for _, test := range []struct {
		coordinator *kerr.Error
		version     int16
		want        *kerr.Error
	}{
		{kerr.InvalidTxnState, 9, kerr.InvalidTxnState},
		{kerr.TransactionAbortable, 10, kerr.InvalidTxnState},
		{kerr.TransactionAbortable, 11, kerr.TransactionAbortable},
		{kerr.TransactionAbortable, 12, kerr.TransactionAbortable},
		{kerr.ConcurrentTransactions, 11, kerr.NotEnoughReplicas},
		{kerr.ConcurrentTransactions, 12, kerr.ConcurrentTransactions},
		{kerr.NotCoordinator, 12, kerr.NotEnoughReplicas},
		{kerr.CoordinatorLoadInProgress, 9, kerr.NotEnoughReplicas},
		{kerr.CoordinatorNotAvailable, 9, kerr.NotEnoughReplicas},
		{kerr.NetworkException, 9, kerr.NotEnoughReplicas},
		{kerr.ProducerFenced, 9, kerr.InvalidProducerEpoch},
		{kerr.InvalidProducerIDMapping, 9, kerr.InvalidProducerIDMapping},
	} {
		n, coordinator, id := startTransactional(t, 1)
		coordinator.set(test.coordinator.Code, nil)
		c := n.dial()
		if codes := produceCodes(c.request(transactionalProduce(test.version, id, transactional(t, 0, 0, "a")))); codes[0] != test.want.Code {
			t.Errorf("%v, version %d: %v, want %v", test.coordinator, test.version, kerr.ErrorForCode(codes[0]), test.want)
		}
		coordinator.set(0, nil)
		if codes := produceCodes(c.request(transactionalProduce(test.version, id, transactional(t, 0, 0, "a")))); codes[0] != 0 {
			t.Errorf("%v: sent again: %v", test.coordinator, kerr.ErrorForCode(codes[0]))
		}
	}
}

// The coordinator says yes, but before the batch is written an abort of the same transaction is.
func TestAnAbortOvertakesTheAnswerOfTheCoordinator(t *testing.T) {
	n, coordinator, id := startTransactional(t, 1)
	c, other := n.dial(), n.dial()
	coordinator.set(0, func() {
		if codes := other.end(markersOf(1, 0, 0, false, 0)); codes[0] != 0 {
			t.Errorf("marker: %v", codes)
		}
	})
	if codes := produceCodes(c.request(transactionalProduce(9, id, transactional(t, 0, 0, "a")))); codes[0] != kerr.InvalidTxnState.Code {
		t.Fatalf("%v", codes)
	}
	if last := c.produce("orders", 0, "plain"); last.ErrorCode != 0 || last.BaseOffset != 1 {
		t.Fatalf("%+v", last)
	}
}

// KAFKA-17754: an end of the last transaction that was under way for long meets the next one.
func TestALateMarkerMeetsTheNextTransaction(t *testing.T) {
	n, _, id := startTransactional(t, 1)
	c := n.dial()
	c.request(transactionalProduce(12, id, transactional(t, 0, 0, "a")))
	if codes := c.end(markersOf(2, 1, 2, true, 0)); codes[0] != 0 {
		t.Fatalf("%v", codes)
	}
	if codes := produceCodes(c.request(transactionalProduce(12, id, transactional(t, 1, 0, "b")))); codes[0] != 0 {
		t.Fatalf("%v", codes)
	}
	if codes := c.end(markersOf(2, 1, 2, true, 0)); codes[0] != kerr.InvalidProducerEpoch.Code {
		t.Fatalf("late marker: %v", codes)
	}
	fetch := fetchOf(12, "orders", image.TopicID{}, map[int32]int64{0: 0})
	fetch.IsolationLevel = 1
	if p := c.request(fetch).(*kmsg.FetchResponse).Topics[0].Partitions[0]; p.LastStableOffset != 2 {
		t.Fatalf("%+v", p)
	}
}

func TestMarkersAreAnsweredPartitionByPartition(t *testing.T) {
	n, _, _ := startTransactional(t, 1)
	c := n.dial()
	r := markersOf(1, 5, 0, false, 0, 9)
	zombie := markersOf(1, 4, 0, true, 0).Markers[0]
	elsewhere := markersOf(1, 4, 0, true, 0).Markers[0]
	elsewhere.Topics[0].Topic = "nowhere"
	nobody := markersOf(1, 4, 0, true, 0).Markers[0]
	nobody.ProducerID = -1
	r.Markers = append(r.Markers, zombie, elsewhere, nobody)
	want := []int16{0, kerr.UnknownTopicOrPartition.Code, kerr.InvalidProducerEpoch.Code, kerr.UnknownTopicOrPartition.Code, kerr.InvalidRequest.Code}
	if codes := c.end(r); !slices.Equal(codes, want) {
		t.Fatalf("%v, want %v", codes, want)
	}
	older := markersOf(1, 6, 0, true, 0)
	older.Markers[0].CoordinatorEpoch = -1
	if codes := c.end(older); codes[0] != kerr.TransactionCoordinatorFenced.Code {
		t.Fatalf("%v", codes)
	}
}

func TestTransactionalProduceRefusals(t *testing.T) {
	n, coordinator, id := startTransactional(t, 2)
	c := n.dial()
	without := transactionalProduce(9, id, transactional(t, 0, 0, "a"))
	without.TransactionID = nil
	if codes := produceCodes(c.request(without)); codes[0] != kerr.TransactionalIDAuthorizationFailed.Code {
		t.Errorf("without an id: %v", codes)
	}
	two := transactionalProduce(9, id, transactional(t, 0, 0, "a"), transactional(t, 1, 0, "b"))
	if codes := produceCodes(c.request(two)); codes[0] != kerr.InvalidProducerIDMapping.Code || codes[1] != codes[0] {
		t.Errorf("two producers: %v", codes)
	}
	if asked := coordinator.take(); asked != nil {
		t.Errorf("asked %v", asked)
	}
}
