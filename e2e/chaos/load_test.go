//go:build e2e

package chaos

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	producers  = 4
	partitions = 3
	// Each producer keeps at most this many records on the way, so that a fault always has something to lose.
	inFlightRecords = 500
)

// rounds is how often a fault is brought about: CHAOS_ROUNDS, or else the fallback.
func rounds(t *testing.T, fallback int) int {
	t.Helper()
	text := os.Getenv("CHAOS_ROUNDS")
	if text == "" {
		return fallback
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("CHAOS_ROUNDS=%q is not a number of rounds", text)
	}
	return n
}

func createTopic(t *testing.T, address, topic string, partitionCount int32, configs map[string]*string) {
	t.Helper()
	cl := newClient(t, address)
	defer cl.Close()
	created, err := kadm.NewClient(cl).CreateTopic(t.Context(), partitionCount, 1, configs, topic)
	if err == nil {
		err = created.Err
	}
	if err != nil {
		t.Fatalf("create topic %s: %v", topic, err)
	}
}

// newClient returns a client that tries again quickly: a test waits for the broker, not for the client's patience.
func newClient(t testing.TB, address string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(address), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		kgo.MetadataMinAge(50 * time.Millisecond), kgo.DialTimeout(2 * time.Second),
	}, opts...)...)
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	return cl
}

// loadConfig says what a load sends.
type loadConfig struct {
	topic      string
	partitions int // default: the constant
	codec      kgo.CompressionCodec
	sizeBytes  int // of a value, at least
	// pause follows every 50 records of a producer.
	pause time.Duration
}

// load is a set of idempotent producers that go on through every fault until stopped.
type load struct {
	cancel  context.CancelFunc
	running sync.WaitGroup
	clients []*kgo.Client

	mu     sync.Mutex
	failed map[string]int // guarded by mu: records that a producer gave up, by the error it was told
}

func startLoad(t *testing.T, address string, cfg loadConfig, ledger *Ledger) *load {
	t.Helper()
	if cfg.partitions == 0 {
		cfg.partitions = partitions
	}
	if cfg.pause == 0 {
		cfg.pause = 5 * time.Millisecond
	}
	padding := " " + strings.Repeat("x", cfg.sizeBytes)
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel, failed: map[string]int{}}
	for id := range producers {
		cl := newClient(t, address, kgo.DefaultProduceTopic(cfg.topic), kgo.ProducerBatchCompression(cfg.codec), kgo.ProducerLinger(0),
			kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(inFlightRecords))
		l.clients = append(l.clients, cl)
		l.running.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				v := Value{Producer: id, Sequence: n}
				ledger.Sent(v)
				record := &kgo.Record{Partition: int32(n % cfg.partitions), Key: []byte(strconv.Itoa(id)), Value: []byte(v.String() + padding)}
				cl.Produce(context.Background(), record, func(r *kgo.Record, err error) {
					if err == nil {
						ledger.Acknowledged(v, r.Partition, r.Offset)
						return
					}
					l.mu.Lock()
					l.failed[err.Error()]++
					l.mu.Unlock()
				})
				if n%50 == 0 {
					time.Sleep(cfg.pause)
				}
			}
		})
	}
	return l
}

func (l *load) stop(t *testing.T) {
	t.Helper()
	l.cancel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, cl := range l.clients {
		if err := cl.Flush(ctx); err != nil {
			t.Errorf("producers could not finish after the last fault: %v", err)
		}
	}
	l.running.Wait()
	for _, cl := range l.clients {
		if err := cl.Flush(ctx); err != nil {
			t.Errorf("producers could not finish after the last fault: %v", err)
		}
		cl.Close()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for reason, n := range l.failed {
		t.Logf("producers gave up %d records: %s", n, reason)
	}
}

// abandon ends the load of a broker that is gone and not to come back: what is on its way stays unanswered.
func (l *load) abandon() {
	l.cancel()
	for _, cl := range l.clients {
		cl.Close()
	}
	l.running.Wait()
}

// awaitAcknowledged waits until so many more records are acknowledged than now.
func awaitAcknowledged(t *testing.T, ledger *Ledger, more int, within time.Duration) {
	t.Helper()
	_, before := ledger.Counts()
	for deadline := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		_, now := ledger.Counts()
		if now >= before+more {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d records were acknowledged within %v, want %d", now-before, within, more)
		}
	}
}

// judge reads every partition of the topic chaos from its start to its end and checks it against the ledger. It
// returns all anomalies; those named in tolerated do not fail the test.
func judge(t *testing.T, address string, ledger *Ledger, tolerated ...string) []Anomaly {
	t.Helper()
	reads, err := readAll(t, address, "chaos")
	if err != nil {
		t.Fatalf("read everything back: %v", err)
	}
	anomalies := ledger.Check(reads)
	report(t, anomalies, tolerated...)
	return anomalies
}

func report(t *testing.T, anomalies []Anomaly, tolerated ...string) {
	t.Helper()
	shown := 0
	for _, a := range anomalies {
		if slices.Contains(tolerated, a.Name) {
			continue
		}
		if shown++; shown > 8 {
			t.Errorf("and more: %d anomalies in all", len(anomalies))
			break
		}
		t.Error(a)
	}
}

// readAll reads a topic from its start to the end that it has now.
func readAll(t *testing.T, address, topic string) ([]Read, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	cl := newClient(t, address, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, err
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	var reads []Read
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("partitions and ends still to read %v: %w", left, err)
		}
		var bad error
		fetches.EachRecord(func(r *kgo.Record) {
			v, err := ParseValue(string(r.Value))
			if err != nil {
				bad = err
				return
			}
			reads = append(reads, Read{r.Partition, r.Offset, v})
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
		if bad != nil {
			return nil, bad
		}
	}
	return reads, nil
}
