//go:build e2e

package transactions

import (
	"context"
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
	// transactionRecords is what Kafka's own test of this takes.
	transactionRecords = 750
	// recordsPerFault is how often somebody is killed while the records are copied; at least minFaults times.
	recordsPerFault, minFaults = 5000, 8
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
	faults := max(records/recordsPerFault, minFaults)
	for fault := range faults {
		v.await(int64(records) * int64(fault) / int64(faults))
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
		r := original(i)
		r.Topic = "input"
		client.Produce(t.Context(), r, func(_ *kgo.Record, err error) {
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
	judge := newJudge(records)
	for ctx.Err() == nil {
		w.client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if fault := judge.hear(r); fault != "" {
				w.t.Error(fault)
			}
			w.seen.Add(1)
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
