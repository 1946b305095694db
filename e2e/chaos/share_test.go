//go:build e2e

package chaos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/e2e/harness"
)

// shareLedger is what share consumers were given, and which acceptances were confirmed.
type shareLedger struct {
	mu        sync.Mutex
	delivered map[string]int
	confirmed map[string]bool
	faults    []string
}

func (l *shareLedger) deliver(r *kgo.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := string(r.Key)
	if l.confirmed[key] {
		l.faults = append(l.faults, fmt.Sprintf("record %s (%s-%d, offset %d) came again after its acceptance was confirmed", key, r.Topic, r.Partition, r.Offset))
	}
	l.delivered[key]++
}

func (l *shareLedger) confirm(records []*kgo.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range records {
		l.confirmed[string(r.Key)] = true
	}
}

func (l *shareLedger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.delivered)
}

// TestShareGroupLosesNothingWhenBrokersAreKilled has consumers of a share group accept records one after the other, each
// acceptance confirmed before the next, while brokers are killed and come back. Every record must come; one whose acceptance was
// confirmed must not come again.
func TestShareGroupLosesNothingWhenBrokersAreKilled(t *testing.T) {
	const records, consumers = 3000, 3
	cluster := harness.StartCluster(t, harness.ClusterConfig{Nodes: 3, Settings: map[string]string{
		"replica.lag.time.max.ms": "5000", "group.share.record.lock.duration.ms": "15000",
	}})
	writer := shareClient(t, cluster)
	admin := kadm.NewClient(writer)
	if _, err := admin.CreateTopic(t.Context(), 3, 3, map[string]*string{"min.insync.replicas": kadm.StringPtr("2")}, "jobs"); err != nil {
		t.Fatal(err)
	}
	setShareReset(t, writer, "workers")
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	ledger := &shareLedger{delivered: map[string]int{}, confirmed: map[string]bool{}}
	var running sync.WaitGroup
	running.Go(func() {
		for n := range records {
			record := &kgo.Record{Topic: "jobs", Key: []byte(fmt.Sprint(n)), Value: []byte("work")}
			if err := writer.ProduceSync(ctx, record).FirstErr(); err != nil && ctx.Err() == nil {
				t.Errorf("produce %d: %v", n, err)
			}
		}
	})
	working, stop := context.WithCancel(ctx)
	for range consumers {
		running.Go(func() { acceptAll(working, t, cluster, ledger) })
	}
	for round := range 4 {
		waitFor(ctx, func() bool { return ledger.count() >= (round+1)*records/6 })
		node := cluster.Nodes()[round%3]
		node.Kill()
		waitFor(ctx, func() bool { return ledger.count() >= (round+1)*records/6+records/30 })
		node.Start()
		node.AwaitServing()
	}
	waitFor(ctx, func() bool { return ledger.count() == records })
	waitFor(ctx, func() bool { return shareLag(ctx, writer) == 0 })
	lag := shareLag(ctx, writer)
	stop()
	running.Wait()
	again := 0
	for _, n := range ledger.delivered {
		again += n - 1
	}
	t.Logf("%d of %d records came, %d acceptances were confirmed, %d deliveries were repeated, lag %d", len(ledger.delivered), records, len(ledger.confirmed), again, lag)
	if len(ledger.delivered) != records || lag != 0 {
		t.Errorf("%d of %d records came, and the lag is %d", len(ledger.delivered), records, lag)
	}
	for _, fault := range ledger.faults {
		t.Error(fault)
	}
}

// shareLag is how many records are not through; -1 while somebody does not tell.
func shareLag(ctx context.Context, client *kgo.Client) (lag int64) {
	request := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	request.Groups = []kmsg.DescribeShareGroupOffsetsRequestGroup{{GroupID: "workers"}}
	answer, err := request.RequestWith(ctx, client)
	if err != nil || len(answer.Groups) != 1 || answer.Groups[0].ErrorCode != 0 || len(answer.Groups[0].Topics) != 1 {
		return -1
	}
	for _, p := range answer.Groups[0].Topics[0].Partitions {
		if p.ErrorCode != 0 || p.Lag < 0 {
			return -1
		}
		lag += p.Lag
	}
	return lag
}

// waitFor returns once something holds, or ctx ends.
func waitFor(ctx context.Context, holds func() bool) {
	for !holds() && ctx.Err() == nil {
		time.Sleep(20 * time.Millisecond)
	}
}

func shareClient(t *testing.T, cluster *harness.Cluster, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(cluster.Addresses()...), kgo.MetadataMinAge(50 * time.Millisecond), kgo.DialTimeout(time.Second),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }),
	}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func setShareReset(t *testing.T, client *kgo.Client, group string) {
	t.Helper()
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	request.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{
		ResourceType: kmsg.ConfigResourceTypeGroupConfig, ResourceName: group,
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "share.auto.offset.reset", Value: kmsg.StringPtr("earliest")}},
	}}
	if answer, err := request.RequestWith(t.Context(), client); err != nil || answer.Resources[0].ErrorCode != 0 {
		t.Fatalf("configure the group: %v %v", err, answer)
	}
}

// acceptAll is one consumer: it accepts everything, and notes what was confirmed.
func acceptAll(ctx context.Context, t *testing.T, cluster *harness.Cluster, ledger *shareLedger) {
	var mu sync.Mutex
	var results map[int32][]error // of this round, by partition
	client := shareClient(t, cluster, kgo.ShareGroup("workers"), kgo.ConsumeTopics("jobs"), kgo.ShareMaxRecords(20),
		kgo.FetchMaxWait(250*time.Millisecond), kgo.ShareAckCallback(func(_ *kgo.Client, told kgo.ShareAckResults) {
			mu.Lock()
			defer mu.Unlock()
			for _, r := range told {
				results[r.Partition] = append(results[r.Partition], r.Err)
			}
		}))
	for ctx.Err() == nil {
		mu.Lock()
		results = map[int32][]error{}
		mu.Unlock()
		fetched := map[int32][]*kgo.Record{}
		for _, r := range client.PollFetches(ctx).Records() {
			ledger.deliver(r)
			r.Ack(kgo.AckAccept)
			fetched[r.Partition] = append(fetched[r.Partition], r)
		}
		flushing, cancel := context.WithTimeout(ctx, 20*time.Second)
		err := client.FlushAcks(flushing)
		cancel()
		mu.Lock()
		for partition, records := range fetched {
			if err == nil && len(results[partition]) > 0 && errors.Join(results[partition]...) == nil {
				ledger.confirm(records)
			}
		}
		mu.Unlock()
	}
}
