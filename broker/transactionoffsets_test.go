package broker

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// startOn starts a broker that is alone, on a directory that may hold what an earlier one left.
func startOn(t *testing.T, directory string, static map[string]string) *Broker {
	t.Helper()
	b, err := New(Config{NodeID: 1, Directory: directory, KafkaAddress: "127.0.0.1:0", HTTPAddress: "127.0.0.1:0",
		ShutdownGrace: 10 * time.Second, Static: static}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// unverified lets offsets into a transaction that no coordinator knows of.
var unverified = map[string]string{"offsets.topic.num.partitions": "1", "transaction.partition.verification.enable": "false"}

// request sends a request to the only broker, until its groups are loaded.
func request[R kmsg.Response](t *testing.T, client *kgo.Client, r kmsg.Request, code func(R) int16) R {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		answer, err := client.Broker(1).Request(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		switch code(answer.(R)) {
		case kerr.CoordinatorLoadInProgress.Code, kerr.NotCoordinator.Code, kerr.NotLeaderForPartition.Code, kerr.CoordinatorNotAvailable.Code:
			time.Sleep(time.Millisecond)
		default:
			return answer.(R)
		}
	}
}

func commitInTransaction(t *testing.T, client *kgo.Client, offset int64) {
	t.Helper()
	r := kmsg.NewPtrTxnOffsetCommitRequest()
	r.TransactionalID, r.Group, r.ProducerID = "mover", "g", 7
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	topic.Topic = "orders"
	p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	p.Offset = offset
	topic.Partitions = append(topic.Partitions, p)
	r.Topics = append(r.Topics, topic)
	r.Version = 4
	code := func(a *kmsg.TxnOffsetCommitResponse) int16 { return a.Topics[0].Partitions[0].ErrorCode }
	if c := code(request(t, client, pinned{r}, code)); c != 0 {
		t.Fatalf("commit of %d: %v", offset, kerr.ErrorForCode(c))
	}
}

// pinned keeps the client from sending a later version of a TxnOffsetCommit, which would add the partition.
type pinned struct{ *kmsg.TxnOffsetCommitRequest }

func (pinned) MaxVersion() int16 { return 4 }

func endTransaction(t *testing.T, client *kgo.Client, committed bool) {
	t.Helper()
	r := kmsg.NewPtrWriteTxnMarkersRequest()
	m := kmsg.NewWriteTxnMarkersRequestMarker()
	m.ProducerID, m.Committed = 7, committed
	m.Topics = []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: "__consumer_offsets", Partitions: []int32{0}}}
	r.Markers = append(r.Markers, m)
	code := func(a *kmsg.WriteTxnMarkersResponse) int16 { return a.Markers[0].Topics[0].Partitions[0].ErrorCode }
	if c := code(request(t, client, r, code)); c != 0 {
		t.Fatalf("marker: %v", kerr.ErrorForCode(c))
	}
}

func stableOffset(t *testing.T, client *kgo.Client) (int64, error) {
	t.Helper()
	r := kmsg.NewPtrOffsetFetchRequest()
	r.RequireStable = true
	r.Groups = []kmsg.OffsetFetchRequestGroup{{Group: "g", MemberEpoch: -1, Topics: []kmsg.OffsetFetchRequestGroupTopic{{
		Topic: "orders", TopicID: ordersID(t, client), Partitions: []int32{0},
	}}}}
	answer := request(t, client, r, func(a *kmsg.OffsetFetchResponse) int16 { return a.Groups[0].ErrorCode })
	p := answer.Groups[0].Topics[0].Partitions[0]
	return p.Offset, kerr.ErrorForCode(p.ErrorCode)
}

func ordersID(t *testing.T, client *kgo.Client) [16]byte {
	t.Helper()
	topics, err := kadm.NewClient(client).ListTopics(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	return topics["orders"].ID
}

// Offsets of a transaction are pending until the marker's answer has left, on whatever broker they were read again.
func TestOffsetsOfATransactionCountOnceItIsCommitted(t *testing.T) {
	directory := t.TempDir()
	b := startOn(t, directory, unverified)
	client := kafkaClient(t, b)
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	if found := admin.FindGroupCoordinators(t.Context(), "g"); found["g"].Err != nil { // makes the topic
		t.Fatal(found["g"].Err)
	}
	expect := func(want int64, wantErr *kerr.Error) {
		t.Helper()
		offset, err := stableOffset(t, client)
		if known, _ := err.(*kerr.Error); offset != want || known != wantErr {
			t.Fatalf("offset %d, %v; want %d, %v", offset, err, want, wantErr)
		}
	}
	commitInTransaction(t, client, 5)
	expect(-1, kerr.UnstableOffsetCommit)
	endTransaction(t, client, true)
	expect(5, nil)
	commitInTransaction(t, client, 6)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = startOn(t, directory, unverified)
	defer b.Close()
	client = kafkaClient(t, b)
	expect(-1, kerr.UnstableOffsetCommit)
	endTransaction(t, client, false)
	expect(5, nil)
}
