//go:build e2e

package transactions

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-io/millrace/e2e/harness"
)

const (
	copyPartitions = 4
	// transactionRecords is what Kafka's own test of this takes.
	transactionRecords = 750
	// copyFaults is how often somebody is killed while the records are copied.
	copyFaults = 8
	// copyWithin bounds the time between two marks of progress; only a stop that lasts is an error.
	copyWithin = 2 * time.Minute
)

// number reads how much a run is to do from the environment.
func number(t testing.TB, variable string, fallback int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return fallback
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is not a number", variable, text)
	}
	return n
}

// TestExactlyOnceCopy copies a topic in transactions, by a producer of each transaction version, while brokers and copiers
// are killed in turn. The copy is the original: every record once, in order, and nothing of an aborted transaction, not
// even for a moment.
func TestExactlyOnceCopy(t *testing.T) {
	records := number(t, "COPY_RECORDS", 12_000)
	cluster := harness.StartCluster(t, harness.ClusterConfig{Settings: map[string]string{
		"group.initial.rebalance.delay.ms": "0", "replica.lag.time.max.ms": "5000",
	}})
	seed(t, cluster, records)
	v := watch(t, cluster, records)
	var copiers []*copier
	for i, old := range []bool{true, false} {
		copiers = append(copiers, startCopier(t, copierSpec{
			ID: fmt.Sprint("copier-", i), Group: "copiers", From: "input", To: "output", Brokers: cluster.Addresses(),
			Batch: transactionRecords, AbortEvery: 5, Old: old, Pause: 50 * time.Millisecond,
		}))
	}
	for fault := range copyFaults {
		v.await(int64(records) * int64(fault) / copyFaults)
		if fault%2 == 0 {
			c := copiers[fault/2%len(copiers)]
			c.kill()
			c.start()
			continue
		}
		n := cluster.Node(1 + fault/2%3)
		n.Kill()
		n.Start()
		n.AwaitServing()
	}
	v.await(int64(records))
	for _, c := range copiers {
		c.kill()
	}
	v.stop()
	again := watch(t, cluster, records) // what is read afterwards is what was read meanwhile
	again.await(int64(records))
	again.stop()
}

// seed makes both topics and fills the input: each record holds its number in its partition.
func seed(t *testing.T, cluster *harness.Cluster, records int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Addresses()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RetryTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	created, err := kadm.NewClient(client).CreateTopics(t.Context(), copyPartitions, 3, nil, "input", "output")
	if err == nil {
		err = created.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		value := binary.BigEndian.AppendUint64(nil, uint64(i/copyPartitions))
		client.Produce(t.Context(), &kgo.Record{Topic: "input", Partition: int32(i % copyPartitions), Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Errorf("seed: %v", err)
			}
		})
	}
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// witness reads the output as it grows and holds every record against the one that must come next.
type witness struct {
	t      *testing.T
	client *kgo.Client
	cancel context.CancelFunc
	work   sync.WaitGroup
	seen   atomic.Int64
}

func watch(t *testing.T, cluster *harness.Cluster, records int) *witness {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Addresses()...), kgo.ConsumeTopics("output"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(50*time.Millisecond), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &witness{t: t, client: client, cancel: cancel}
	w.work.Go(func() { w.read(ctx, records) })
	t.Cleanup(w.stop)
	return w
}

func (w *witness) read(ctx context.Context, records int) {
	next := make([]int64, copyPartitions)
	for ctx.Err() == nil {
		w.client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			at := int64(binary.BigEndian.Uint64(r.Value))
			switch {
			case len(r.Headers) > 0:
				w.t.Errorf("output-%d at offset %d: a record %s", r.Partition, r.Offset, r.Headers[0].Key)
			case at != next[r.Partition]:
				w.t.Errorf("output-%d at offset %d: record %d, want %d", r.Partition, r.Offset, at, next[r.Partition])
			}
			next[r.Partition] = at + 1
			if n := w.seen.Add(1); n > int64(records) {
				w.t.Errorf("output-%d at offset %d: %d records of %d", r.Partition, r.Offset, n, records)
			}
		})
	}
}

// await returns when so many records were read.
func (w *witness) await(records int64) {
	w.t.Helper()
	last, since := int64(-1), time.Now()
	for {
		seen := w.seen.Load()
		switch {
		case seen >= records || w.t.Failed():
			return
		case seen != last:
			last, since = seen, time.Now()
		case time.Since(since) > copyWithin:
			w.t.Fatalf("no record was copied for %v: %d of %d", copyWithin, seen, records)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (w *witness) stop() {
	w.cancel()
	w.work.Wait()
	w.client.Close()
}
