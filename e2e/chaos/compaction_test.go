//go:build e2e

package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/e2e/harness"
)

// table is what the values of keys may be: one, unless the outcome of a write is not known. An empty value is none.
type table struct {
	mu   sync.Mutex
	keys map[string]map[string]bool // guarded by mu
}

func (b *table) write(key, value string, certain bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if certain || b.keys[key] == nil {
		b.keys[key] = map[string]bool{}
	}
	b.keys[key][value] = true
}

// differs compares with what somebody has read.
func (b *table) differs(read map[string]string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var faults []error
	for key, may := range b.keys {
		if !may[read[key]] && len(faults) < 5 {
			faults = append(faults, fmt.Errorf("%s is %.40q, may be %.200q", key, read[key], fmt.Sprint(may)))
		}
	}
	for key := range read {
		if b.keys[key] == nil {
			faults = append(faults, fmt.Errorf("%s was never written", key))
		}
	}
	return errors.Join(faults...)
}

const compacted = "compacted"

// Keyed records, tombstones and transactions, committed and aborted, go into a compacted topic while brokers are restarted
// and killed, and while every replica compacts its own log. At the end a reader of what is committed has the last value of
// each key, and so has each replica's log by itself: replicas of a compacted topic need not be equal byte by byte.
func TestCompactedTopicMeansTheSameOnEveryReplica(t *testing.T) {
	c := harness.StartCluster(t, harness.ClusterConfig{Nodes: 3, Settings: map[string]string{"log.cleaner.backoff.ms": "300"}})
	admin := kadm.NewClient(clusterClient(t, c))
	defer admin.Close()
	set := func(v string) *string { return &v }
	if _, err := admin.CreateTopic(t.Context(), 3, replicationFactor, map[string]*string{
		"cleanup.policy": set("compact"), "segment.bytes": set("1048576"), "min.cleanable.dirty.ratio": set("0.01"),
		"delete.retention.ms": set("60000"), "min.insync.replicas": set("2"),
	}, compacted); err != nil {
		t.Fatal(err)
	}
	want := &table{keys: map[string]map[string]bool{}}
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for i := range 3 {
		writers.Go(func() { writePlain(ctx, t, c, want, i) })
	}
	writers.Go(func() { writeTransactions(ctx, t, c, want) })
	time.Sleep(8 * time.Second)
	for _, n := range c.Nodes() { // a clean stop moves the recovery point, below which logs are compacted
		n.Stop()
		n.Start()
		n.AwaitServing()
		time.Sleep(3 * time.Second)
	}
	for _, n := range c.Nodes()[:2] {
		n.Kill()
		n.Start()
		n.AwaitServing()
		time.Sleep(3 * time.Second)
	}
	stop()
	writers.Wait()
	for _, n := range c.Nodes() {
		n.Stop()
		n.Start()
		n.AwaitServing()
	}
	for _, n := range c.Nodes() {
		harness.Await(t, fmt.Sprintf("node %d has compacted its logs", n.ID()), time.Minute, func(context.Context) error {
			if !strings.Contains(n.Log(), "log compacted") {
				return errors.New("not yet")
			}
			return nil
		})
	}
	if err := want.differs(readTable(t, c, admin)); err != nil {
		t.Errorf("a reader: %v", err)
	}
	c.StopAll()
	for _, n := range c.Nodes() {
		if err := want.differs(storedTable(t, n)); err != nil {
			t.Errorf("node %d: %v", n.ID(), err)
		}
	}
}

func clusterClient(t *testing.T, c *harness.Cluster, opts ...kgo.Opt) *kgo.Client {
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.Addresses()...), kgo.DefaultProduceTopic(compacted),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil))}, opts...)...)
	if err != nil {
		t.Error(err)
	}
	return cl
}

// writePlain writes keys of its own, one flush after the other; a producer that is idempotent knows every outcome.
func writePlain(ctx context.Context, t *testing.T, c *harness.Cluster, want *table, id int) {
	codec := []kgo.CompressionCodec{kgo.NoCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}[id]
	cl := clusterClient(t, c, kgo.ProducerBatchCompression(codec), kgo.RecordRetries(1<<30))
	defer cl.Close()
	rng := rand.New(rand.NewPCG(uint64(id), 1))
	filler := make([]byte, 700)
	for round := 0; ctx.Err() == nil; round++ {
		var batch []*kgo.Record
		values := map[string]string{}
		for i := range 60 {
			key, value := fmt.Sprintf("plain-%d-%d", id, rng.IntN(100)), ""
			if rng.IntN(10) > 0 {
				for j := range filler {
					filler[j] = byte('a' + rng.IntN(26))
				}
				value = fmt.Sprintf("%d-%d-%s", round, i, filler)
			}
			r := &kgo.Record{Key: []byte(key)}
			if value != "" {
				r.Value = []byte(value)
			}
			values[key] = value
			batch = append(batch, r)
		}
		if err := cl.ProduceSync(context.Background(), batch...).FirstErr(); err != nil {
			t.Errorf("plain writer %d: %v", id, err)
			return
		}
		for key, value := range values {
			want.write(key, value, true)
		}
	}
}

// writeTransactions commits two of three; when it is not known how one ended, either may hold.
func writeTransactions(ctx context.Context, t *testing.T, c *harness.Cluster, want *table) {
	cl := clusterClient(t, c, kgo.TransactionalID("compaction"))
	defer cl.Close()
	rng := rand.New(rand.NewPCG(9, 9))
	committed := 0
	for round := 0; ctx.Err() == nil; round++ {
		if err := cl.BeginTransaction(); err != nil {
			t.Errorf("begin: %v", err)
			return
		}
		values := map[string]string{}
		var batch []*kgo.Record
		for i := range 20 {
			key, value := fmt.Sprint("txn-", rng.IntN(50)), fmt.Sprintf("%d-%d-%0400d", round, i, round)
			values[key] = value
			batch = append(batch, &kgo.Record{Key: []byte(key), Value: []byte(value)})
		}
		err := cl.ProduceSync(context.Background(), batch...).FirstErr()
		commit := kgo.TransactionEndTry(err == nil && round%3 > 0)
		limited, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		end := cl.EndTransaction(limited, commit)
		cancel()
		if end == nil && commit == kgo.TryCommit {
			committed++
		}
		for key, value := range values {
			if commit == kgo.TryCommit {
				want.write(key, value, end == nil)
			} else {
				want.mayStay(key)
			}
		}
		if end != nil {
			t.Logf("end of transaction %d: %v", round, end)
			_ = cl.EndTransaction(context.Background(), kgo.TryAbort)
		}
	}
	t.Logf("%d transactions were committed", committed)
}

// mayStay notes a key that was written in vain.
func (b *table) mayStay(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.keys[key] == nil {
		b.keys[key] = map[string]bool{"": true}
	}
}

// readTable reads what is committed from the start to the end.
func readTable(t *testing.T, c *harness.Cluster, admin *kadm.Client) map[string]string {
	t.Helper()
	var ends kadm.ListedOffsets
	harness.Await(t, "every transaction is decided", 90*time.Second, func(ctx context.Context) error {
		stable, err := admin.ListCommittedOffsets(ctx, compacted)
		if err == nil {
			ends, err = admin.ListEndOffsets(ctx, compacted)
		}
		if err == nil {
			err = errors.Join(stable.Error(), ends.Error())
		}
		stable.Each(func(o kadm.ListedOffset) {
			if end, _ := ends.Lookup(compacted, o.Partition); o.Offset != end.Offset {
				err = errors.Join(err, fmt.Errorf("partition %d is stable to %d of %d", o.Partition, o.Offset, end.Offset))
			}
		})
		return err
	})
	cl := clusterClient(t, c, kgo.ConsumeTopics(compacted), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	defer cl.Close()
	got := map[string]string{}
	next := map[int32]int64{}
	left := func() (n int) {
		ends.Each(func(o kadm.ListedOffset) {
			if next[o.Partition] < o.Offset {
				n++
			}
		})
		return n
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for left() > 0 && ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			next[r.Partition] = r.Offset + 1
			if !r.Attrs.IsControl() {
				got[string(r.Key)] = string(r.Value)
			}
		})
	}
	if n := left(); n > 0 {
		t.Errorf("%d partitions were not read to their ends", n)
	}
	return got
}

// storedTable is what a stopped node's logs say by themselves.
func storedTable(t *testing.T, n *harness.Node) map[string]string {
	t.Helper()
	got := map[string]string{}
	for partition := range 3 {
		batches, err := storedBatches(filepath.Join(n.DataDir(), "logs", fmt.Sprintf("%s-%d", compacted, partition)))
		if err != nil {
			t.Fatal(err)
		}
		open := map[int64][]record.Batch{} // by producer
		last := int64(-1)
		at := map[string]int64{}
		apply := func(b record.Batch) {
			for r, err := range b.Records(nil) {
				if err != nil {
					t.Fatal(err)
				}
				if offset := b.BaseOffset() + int64(r.OffsetDelta); offset >= at[string(r.Key)] {
					got[string(r.Key)], at[string(r.Key)] = string(r.Value), offset
				}
			}
		}
		for _, stored := range batches {
			b := record.Batch(stored.bytes)
			if err := b.VerifyCRC(); err != nil || b.BaseOffset() <= last {
				t.Fatalf("node %d, partition %d: a batch at %d after %d: %v", n.ID(), partition, b.BaseOffset(), last, err)
			}
			last = b.LastOffset()
			switch a := b.Attributes(); {
			case a.IsControl():
				if marker, ok, err := record.ParseEndTxnMarker(b); err == nil && ok && marker.Type == record.CommitMarker {
					for _, waiting := range open[b.ProducerID()] {
						apply(waiting)
					}
				}
				delete(open, b.ProducerID())
			case a.IsTransactional():
				open[b.ProducerID()] = append(open[b.ProducerID()], b)
			default:
				apply(b)
			}
		}
	}
	return got
}
