package api

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/txn"
	"github.com/millrace-io/millrace/security"
)

// markedBrokers are brokers that write every marker, and remember it.
type markedBrokers struct {
	mu      sync.Mutex
	markers []string
}

func (m *markedBrokers) Leader(string, string, int32) (int32, bool) { return 1, true }

func (m *markedBrokers) WriteTxnMarkers(_ context.Context, _ int32, r *kmsg.WriteTxnMarkersRequest) (*kmsg.WriteTxnMarkersResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	answer := r.ResponseKind().(*kmsg.WriteTxnMarkersResponse)
	for _, marker := range r.Markers {
		written := kmsg.WriteTxnMarkersResponseMarker{ProducerID: marker.ProducerID}
		for _, t := range marker.Topics {
			topic := kmsg.WriteTxnMarkersResponseMarkerTopic{Topic: t.Topic}
			for _, number := range t.Partitions {
				topic.Partitions = append(topic.Partitions, kmsg.WriteTxnMarkersResponseMarkerTopicPartition{Partition: number})
				m.markers = append(m.markers, fmt.Sprintf("%s-%d %d/%d commit=%v", t.Topic, number, marker.ProducerID, marker.ProducerEpoch, marker.Committed))
			}
			written.Topics = append(written.Topics, topic)
		}
		answer.Markers = append(answer.Markers, written)
	}
	return answer, nil
}

func testTransactions(t *testing.T, s *Services) *txn.Service {
	t.Helper()
	transactions := txn.New(txn.Config{
		Log: &groupLog{end: map[int32]int64{}}, PartitionCount: func() int32 { return 3 }, NextProducerID: s.NextProducerID, Brokers: &markedBrokers{},
	})
	t.Cleanup(transactions.Close)
	for partition := range int32(3) {
		transactions.OnElection(partition, 0)
	}
	for ; ; time.Sleep(time.Millisecond) { // the shards load in the background
		if _, err := transactions.List(t.Context(), security.DefaultTenant, txn.Filter{}); err == nil {
			return transactions
		}
	}
}

// A transaction through the handlers, with what each version of a request says of a producer that was shut out.
func TestTransactionThroughTheHandlers(t *testing.T) {
	s, _ := groupServices(t)
	c := groupCall(t)
	id := "t"
	begin := func(version int16, as txn.Producer) *kmsg.InitProducerIDResponse {
		return initProducerID(s, c, &kmsg.InitProducerIDRequest{Version: version, TransactionalID: &id, TransactionTimeoutMillis: 1000, ProducerID: as.ID, ProducerEpoch: as.Epoch}).(*kmsg.InitProducerIDResponse)
	}
	p := begin(5, txn.Producer{ID: -1, Epoch: -1})
	if p.ErrorCode != 0 || p.ProducerEpoch != 0 {
		t.Fatalf("initialised %+v", p)
	}
	add := func(version int16, epoch int16, topic string, partitions ...int32) []int16 {
		answer := addPartitionsToTxn(s, c, &kmsg.AddPartitionsToTxnRequest{
			Version: version, TransactionalID: id, ProducerID: p.ProducerID, ProducerEpoch: epoch,
			Topics: []kmsg.AddPartitionsToTxnRequestTopic{{Topic: topic, Partitions: partitions}},
		}).(*kmsg.AddPartitionsToTxnResponse)
		var codes []int16
		for _, partition := range answer.Topics[0].Partitions {
			codes = append(codes, partition.ErrorCode)
		}
		return codes
	}
	same(t, "partitions that are there", add(3, 0, "orders", 0, 1), []int16{0, 0})
	same(t, "one that is not", add(3, 0, "orders", 0, 7), []int16{kerr.OperationNotAttempted.Code, kerr.UnknownTopicOrPartition.Code})
	same(t, "a fenced producer", add(2, 9, "orders", 0), []int16{kerr.ProducerFenced.Code})
	same(t, "a fenced producer of old", add(1, 9, "orders", 0), []int16{kerr.InvalidProducerEpoch.Code})
	offsets := func(version, epoch int16) int16 {
		return addOffsetsToTxn(s, c, &kmsg.AddOffsetsToTxnRequest{Version: version, TransactionalID: id, ProducerID: p.ProducerID, ProducerEpoch: epoch, Group: "g"}).(*kmsg.AddOffsetsToTxnResponse).ErrorCode
	}
	same(t, "offsets of a group", []int16{offsets(4, 0), offsets(2, 9), offsets(1, 9)}, []int16{0, kerr.ProducerFenced.Code, kerr.InvalidProducerEpoch.Code})
	described := describeTransactions(s, c, &kmsg.DescribeTransactionsRequest{TransactionalIDs: []string{id, "nobody", ""}}).(*kmsg.DescribeTransactionsResponse)
	for i, want := range []string{"0 Ongoing 2", fmt.Sprint(kerr.TransactionalIDNotFound.Code, "  0"), fmt.Sprint(kerr.InvalidRequest.Code, "  0")} {
		d := described.TransactionStates[i]
		same(t, "described", fmt.Sprint(d.ErrorCode, " ", d.State, " ", len(d.Topics)), want)
	}
	end := func(version, epoch int16) *kmsg.EndTxnResponse {
		return endTxn(s, c, &kmsg.EndTxnRequest{Version: version, TransactionalID: id, ProducerID: p.ProducerID, ProducerEpoch: epoch, Commit: true}).(*kmsg.EndTxnResponse)
	}
	same(t, "a fenced end", []int16{end(2, 9).ErrorCode, end(1, 9).ErrorCode}, []int16{kerr.ProducerFenced.Code, kerr.InvalidProducerEpoch.Code})
	for range 2 { // the second one is a retry
		e := end(5, 0)
		same(t, "the end", fmt.Sprint(e.ErrorCode, " ", e.ProducerID == p.ProducerID, " ", e.ProducerEpoch), "0 true 1")
	}
	same(t, "the next producer", begin(5, txn.Producer{ID: -1, Epoch: -1}).ProducerEpoch, int16(2))
	same(t, "a producer that was shut out", begin(4, txn.Producer{ID: p.ProducerID, Epoch: 0}).ErrorCode, kerr.ProducerFenced.Code)
	same(t, "one of old", begin(3, txn.Producer{ID: p.ProducerID, Epoch: 0}).ErrorCode, kerr.InvalidProducerEpoch.Code)
}

// What brokers ask: several transactions at once, some only to hear of them.
func TestPartitionsThatBrokersAdd(t *testing.T) {
	s, _ := groupServices(t)
	c := groupCall(t)
	r := &kmsg.AddPartitionsToTxnRequest{Version: 5}
	ask := func(id string, producer, epoch int, verify bool, topic string, partitions ...int32) {
		r.Transactions = append(r.Transactions, kmsg.AddPartitionsToTxnRequestTransaction{
			TransactionalID: id, ProducerID: int64(producer), ProducerEpoch: int16(epoch), VerifyOnly: verify,
			Topics: []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: topic, Partitions: partitions}},
		})
	}
	for _, id := range []string{"a", "b"} {
		initProducerID(s, c, &kmsg.InitProducerIDRequest{Version: 5, TransactionalID: &id, TransactionTimeoutMillis: 1000, ProducerID: -1, ProducerEpoch: -1})
	}
	ask("a", 0, 0, false, "orders", 0)
	ask("b", 1, 0, true, "orders", 0, 1)
	ask("b", 1, 0, false, "nowhere", 0)
	ask("c", 1, 0, true, "orders", 0)
	got := addPartitionsToTxn(s, c, r).(*kmsg.AddPartitionsToTxnResponse)
	var all []string
	for _, x := range got.Transactions {
		for _, topic := range x.Topics {
			for _, p := range topic.Partitions {
				all = append(all, fmt.Sprint(x.TransactionalID, " ", topic.Topic, " ", p.Partition, " ", p.ErrorCode))
			}
		}
	}
	same(t, "answers", all, []string{"a orders 0 0", "b orders 0 120", "b orders 1 120", "b nowhere 0 3", "c orders 0 49"})
	listed := listTransactions(s, c, &kmsg.ListTransactionsRequest{Version: 2, StateFilters: []string{"Ongoing", "Odd"}, DurationFilterMillis: -1}).(*kmsg.ListTransactionsResponse)
	same(t, "listed", fmt.Sprint(listed.UnknownStateFilters, " ", len(listed.TransactionStates), " ", listed.TransactionStates[0].TransactionalID), "[Odd] 1 a")
	pattern := "(b"
	same(t, "a pattern that is none", listTransactions(s, c, &kmsg.ListTransactionsRequest{Version: 2, TransactionalIDPattern: &pattern}).(*kmsg.ListTransactionsResponse).ErrorCode, kerr.InvalidRegularExpression.Code)
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: %s", what, diff)
	}
}
