package api

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/security"
)

// A real client, with fetch sessions, idempotence and compression as it likes them.
func TestFranzGo(t *testing.T) {
	services := testServices(t, nil)
	address := testServer(t, services)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, created := range services.Metadata.CreateTopics(ctx, security.DefaultTenant, []controller.NewTopic{{Name: "rides", PartitionCount: 6, ReplicationFactor: 1}}, false) {
		if created.Err != nil {
			t.Fatal(created.Err)
		}
	}
	producer, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.DefaultProduceTopic("rides"))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	const count = 5000
	for i := range count {
		producer.Produce(ctx, &kgo.Record{Key: fmt.Append(nil, i%50), Value: fmt.Append(nil, i)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := producer.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	consumer, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics("rides"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	last := map[string]int{}
	for got := 0; got < count; {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			var value int
			fmt.Sscan(string(r.Value), &value)
			if before, ok := last[string(r.Key)]; ok && value != before+50 {
				t.Fatalf("key %s: %d follows %d", r.Key, value, before)
			}
			last[string(r.Key)] = value
			got++
		})
	}
}
