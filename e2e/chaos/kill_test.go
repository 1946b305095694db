//go:build e2e

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-io/millrace/e2e/harness"
)

const (
	producers  = 4
	partitions = 3
	// Each producer keeps at most this many records on the way, so that a kill always has something to lose.
	inFlightRecords = 500
)

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

// A broker is killed at any moment under an idempotent load with acks=all, again and again, and started again each time:
// nothing acknowledged is missing, nothing is there twice, and each producer's order holds.
func TestKillUnderLoadLosesNothing(t *testing.T) {
	for _, tc := range []struct {
		name    string
		configs map[string]*string
		codec   kgo.CompressionCodec
	}{
		{"fsync before the ack", nil, kgo.NoCompression()},
		{"small segments, lz4", map[string]*string{"segment.bytes": kadm.StringPtr("1048576")}, kgo.Lz4Compression()},
		{"write caching", map[string]*string{"write.caching": kadm.StringPtr("true")}, kgo.NoCompression()}, // kill -9 leaves the page cache alone
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := harness.StartMillrace(t, harness.MillraceConfig{})
			createTopic(t, m.Address(), "chaos", tc.configs)
			ledger := NewLedger()
			load := startLoad(t, m.Address(), "chaos", tc.codec, ledger)
			var slowest time.Duration
			for round := range rounds(t, 8) {
				time.Sleep(200*time.Millisecond + rand.N(800*time.Millisecond))
				m.Kill()
				began := time.Now()
				m.Restart()
				slowest = max(slowest, time.Since(began))
				if round%4 == 3 { // a clean stop in between must do no harm either
					time.Sleep(300 * time.Millisecond)
					m.Stop()
					m.Restart()
				}
			}
			time.Sleep(500 * time.Millisecond)
			load.stop(t)
			judge(t, m.Address(), ledger)
			m.Kill()
			m.Restart()
			judge(t, m.Address(), ledger)
			sent, acked := ledger.Counts()
			t.Logf("%d records sent, %d acknowledged; slowest restart %v", sent, acked, slowest.Round(time.Millisecond))
			if acked < 1000 {
				t.Errorf("only %d records were acknowledged: the load proved little", acked)
			}
		})
	}
}

func createTopic(t *testing.T, address, topic string, configs map[string]*string) {
	t.Helper()
	cl := newClient(t, address)
	defer cl.Close()
	created, err := kadm.NewClient(cl).CreateTopic(t.Context(), partitions, 1, configs, topic)
	if err == nil {
		err = created.Err
	}
	if err != nil {
		t.Fatalf("create topic %s: %v", topic, err)
	}
}

func newClient(t *testing.T, address string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(address), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
	}, opts...)...)
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	return cl
}

// load is a set of idempotent producers that go on through every kill until stopped.
type load struct {
	cancel  context.CancelFunc
	running sync.WaitGroup
	clients []*kgo.Client
}

func startLoad(t *testing.T, address, topic string, codec kgo.CompressionCodec, ledger *Ledger) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel}
	for id := range producers {
		cl := newClient(t, address, kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(codec), kgo.ProducerLinger(0),
			kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(inFlightRecords))
		l.clients = append(l.clients, cl)
		l.running.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				v := Value{Producer: id, Sequence: n}
				ledger.Sent(v)
				record := &kgo.Record{Partition: int32(n % partitions), Key: []byte(strconv.Itoa(id)), Value: []byte(v.String())}
				cl.Produce(context.Background(), record, func(r *kgo.Record, err error) {
					if err == nil {
						ledger.Acknowledged(v, r.Partition, r.Offset)
					}
				})
				if n%50 == 0 {
					time.Sleep(5 * time.Millisecond)
				}
			}
		})
	}
	return l
}

func (l *load) stop(t *testing.T) {
	t.Helper()
	l.cancel()
	l.running.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, cl := range l.clients {
		if err := cl.Flush(ctx); err != nil {
			t.Errorf("producers could not finish after the last restart: %v", err)
		}
		cl.Close()
	}
}

// judge reads every partition from its start to its end and checks it against the ledger.
func judge(t *testing.T, address string, ledger *Ledger) {
	t.Helper()
	reads, err := readAll(t, address, "chaos")
	if err != nil {
		t.Fatalf("read everything back: %v", err)
	}
	anomalies := ledger.Check(reads)
	for i, a := range anomalies {
		if i == 8 {
			t.Errorf("and %d more", len(anomalies)-i)
			break
		}
		t.Error(a)
	}
}

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
