package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// startAlone starts a broker that is alone.
func startAlone(t *testing.T) *Broker {
	t.Helper()
	b, err := New(Config{
		NodeID: 1, Directory: t.TempDir(), KafkaAddress: "127.0.0.1:0", HTTPAddress: "127.0.0.1:0", ShutdownGrace: 10 * time.Second,
		Static: map[string]string{"transaction.state.log.num.partitions": "3", "offsets.topic.num.partitions": "1"},
	}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTransactionsOfOneBroker(t *testing.T) {
	transactions(t, startAlone(t))
}

// transactions commits and aborts through a client, and reads what was committed.
func transactions(t *testing.T, brokers ...*Broker) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	admin := clientOf(t, brokers...)
	if _, err := admin.CreateTopic(ctx, 4, int16(len(brokers)), nil, "orders"); err != nil {
		t.Fatal(err)
	}
	producer, err := kgo.NewClient(kgo.SeedBrokers(brokers[0].KafkaAddress()), kgo.TransactionalID("mover"), kgo.DefaultProduceTopic("orders"),
		kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	var want []string
	for i := range 20 {
		commit := kgo.TransactionEndTry(i%3 != 0)
		if err := producer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for j := range 8 {
			value := fmt.Sprintf("%02d-%d", i, j)
			producer.Produce(ctx, kgo.StringRecord(value), func(_ *kgo.Record, err error) {
				if err != nil {
					t.Errorf("produce %s: %v", value, err)
				}
			})
			if commit {
				want = append(want, value)
			}
		}
		if err := producer.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if err := producer.EndTransaction(ctx, commit); err != nil {
			t.Fatalf("end of transaction %d: %v", i, err)
		}
	}
	if got := committed(ctx, t, brokers[0], "orders", len(want)); !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
	checkNoneOpen(ctx, t, admin)
}

// committed reads so many records that were committed.
func committed(ctx context.Context, t *testing.T, b *Broker, topic string, count int) (values []string) {
	t.Helper()
	reader, err := kgo.NewClient(kgo.SeedBrokers(b.KafkaAddress()), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for len(values) < count {
		fetched := reader.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			t.Fatalf("%d of %d read: %v", len(values), count, err)
		}
		fetched.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	slices.Sort(values)
	return values
}

// checkNoneOpen waits until every transaction is complete.
func checkNoneOpen(ctx context.Context, t *testing.T, admin *kadm.Client) {
	t.Helper()
	for {
		listed, err := admin.ListTransactions(ctx, nil, []string{"Ongoing", "PrepareCommit", "PrepareAbort"})
		if err != nil {
			t.Fatal(err)
		}
		if len(listed) == 0 {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal(errors.Join(ctx.Err(), fmt.Errorf("still open: %v", listed)))
		}
	}
}
