//go:build e2e

package clients

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/millrace-io/millrace/e2e/harness"
)

// transactionsCommand has its options before the verb, and others behind it.
const transactionsCommand = "org.apache.kafka.tools.TransactionsCommand"

// TestApacheTransactionTool looks at transactions of three brokers with kafka-transactions.sh, finds one that hangs, because it
// is open on a partition and its coordinator knows nothing of it, and aborts it; then it ends one whose producer is gone.
func TestApacheTransactionTool(t *testing.T) {
	cluster := harness.StartCluster(t, harness.ClusterConfig{Settings: map[string]string{
		"transaction.partition.verification.enable": "false", // hanging transactions come about where nobody verifies
		"default.replication.factor":                "3",
	}})
	k := newTools(t)
	c := &cell{t: t, address: strings.Join(cluster.Addresses(), ",")}
	producer := openTransaction(t, cluster)
	hangs := hang(t, cluster)
	for _, call := range []struct {
		pattern string
		args    string
	}{
		{`mover\s+\d+\s+\d+\s+Ongoing`, "list"},
		{`mover\s+\d+\s+\d+\s+Ongoing`, "list --transactional-id-pattern mo.*"},
		{`mover\s+\d+\s+0\s+Ongoing\s+900000\s+.*orders-0`, "describe --transactional-id mover"},
		{fmt.Sprintf(`(?m)^%d\s+0\s+-1\s+0\s+\d+\s+1\s`, hangs), "describe-producers --topic orders --partition 1"},
		{fmt.Sprintf(`(?m)^orders\s+1\s+%d\s+0\s+`, hangs), "find-hanging --topic orders"},
		{``, "abort --topic orders --partition 1 --start-offset 1"},
		{fmt.Sprintf(`(?m)^%d\s+0\s+0\s+0\s+\d+\s+None\s`, hangs), "describe-producers --topic orders --partition 1"},
		{`^Topic[^\n]*\n$`, "find-hanging --topic orders"}, // a head and no line
		{``, "forceTerminateTransaction --transactionalId mover"},
		{`mover\s+\d+\s+\d+\s+(CompleteAbort|Empty)`, "list"},
	} {
		out, err := execute(c, "", append(k.command(c, transactionsCommand), strings.Fields(call.args)...)...)
		if err != nil || !regexp.MustCompile(call.pattern).MatchString(out) {
			t.Errorf("%s: %v: prints %q, want %s", call.args, err, out, call.pattern)
		}
	}
	awaitNothingOpen(t, cluster)
	if err := producer.EndTransaction(t.Context(), kgo.TryCommit); err == nil {
		t.Error("the producer whose transaction was ended by hand could commit it")
	}
}

func clusterClient(t *testing.T, cluster *harness.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(cluster.Addresses()...), kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// openTransaction leaves a transaction open on the first partition of a topic that it makes.
func openTransaction(t *testing.T, cluster *harness.Cluster) *kgo.Client {
	t.Helper()
	client := clusterClient(t, cluster, kgo.TransactionalID("mover"), kgo.TransactionTimeout(15*time.Minute))
	harness.Await(t, "the topic is there", time.Minute, func(ctx context.Context) error {
		created, err := kadm.NewClient(client).CreateTopic(ctx, 2, 3, nil, "orders")
		if err = errors.Join(err, created.Err); errors.Is(err, kerr.TopicAlreadyExists) {
			return nil
		}
		return err
	})
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: []byte("open")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return client
}

// hang writes a batch of a transaction that was never begun, an hour ago by its timestamp, behind a record of nobody's, and
// returns whose it is.
func hang(t *testing.T, cluster *harness.Cluster) (producerID int64) {
	t.Helper()
	client := clusterClient(t, cluster)
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Partition: 1, Value: []byte("before")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	harness.Await(t, "there is a producer id", time.Minute, func(ctx context.Context) error {
		given, err := kmsg.NewPtrInitProducerIDRequest().RequestWith(ctx, client)
		if err != nil {
			return err
		}
		producerID = given.ProducerID
		return kerr.ErrorForCode(given.ErrorCode)
	})
	request := kmsg.NewPtrProduceRequest()
	request.TransactionID, request.Acks, request.TimeoutMillis = kmsg.StringPtr("nobody's"), -1, 30_000
	partition := kmsg.ProduceRequestTopicPartition{Partition: 1, Records: oldBatch(producerID)}
	request.Topics = []kmsg.ProduceRequestTopic{{Topic: "orders", Partitions: []kmsg.ProduceRequestTopicPartition{partition}}}
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(int16(kmsg.Produce), 10) // a newer one adds the partition by itself
	old := clusterClient(t, cluster, kgo.MaxVersions(versions))
	harness.Await(t, "the batch is written", time.Minute, func(ctx context.Context) error {
		answer, err := request.RequestWith(ctx, old)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(answer.Topics[0].Partitions[0].ErrorCode)
	})
	return producerID
}

// oldBatch is a transactional batch of one record that is an hour old: the tool takes nothing for hanging that is younger
// than the longest transaction.
func oldBatch(producerID int64) []byte {
	value := kmsg.Record{Value: []byte("hangs")}
	value.Length = int32(len(value.AppendTo(nil)) - 1)
	at := time.Now().Add(-time.Hour).UnixMilli()
	batch := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, Attributes: 16, FirstTimestamp: at, MaxTimestamp: at, ProducerID: producerID, NumRecords: 1,
		Records: value.AppendTo(nil),
	}
	out := batch.AppendTo(nil)
	binary.BigEndian.PutUint32(out[8:], uint32(len(out)-12))
	binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], crc32.MakeTable(crc32.Castagnoli)))
	return out
}

// awaitNothingOpen waits until readers of committed records can read everything.
func awaitNothingOpen(t *testing.T, cluster *harness.Cluster) {
	t.Helper()
	admin := kadm.NewClient(clusterClient(t, cluster))
	harness.Await(t, "no transaction is open", time.Minute, func(ctx context.Context) error {
		stable, err := admin.ListCommittedOffsets(ctx, "orders")
		if err != nil {
			return err
		}
		ends, err := admin.ListEndOffsets(ctx, "orders")
		if err != nil {
			return err
		}
		ends.Each(func(end kadm.ListedOffset) {
			if at, ok := stable.Lookup(end.Topic, end.Partition); !ok || at.Offset != end.Offset {
				err = fmt.Errorf("partition %d is read up to %d of %d", end.Partition, at.Offset, end.Offset)
			}
		})
		return err
	})
}
