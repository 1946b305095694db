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
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/e2e/harness"
)

// timedPatience is the timeout of a timed request: shorter than the half minute in which a follower that is gone for good
// counts as lagging, and much longer than anything should take.
const timedPatience = 20 * time.Second

// timedProducers send to each partition of a topic one record after the other, to the leader of the moment and with
// acks=all, on a connection for each partition. A refusal is an answer; a request that ends by its timeout is a stall.
type timedProducers struct {
	t      *testing.T
	topic  string
	ending context.CancelFunc
	joined sync.WaitGroup

	mu      sync.Mutex
	longest time.Duration // guarded by mu, as is what follows
	done    int           // requests that were acknowledged
	stalls  []string
}

func startTimedProducers(t *testing.T, addresses []string, topic string, partitionCount int32) *timedProducers {
	t.Helper()
	p := &timedProducers{t: t, topic: topic}
	ctx, cancel := context.WithCancel(context.Background())
	p.ending = cancel
	t.Cleanup(p.stop)
	for partition := range partitionCount {
		client, err := kgo.NewClient(kgo.SeedBrokers(addresses...), kgo.MetadataMinAge(20*time.Millisecond), kgo.DialTimeout(time.Second))
		if err != nil {
			t.Fatalf("make a client: %v", err)
		}
		p.joined.Go(func() {
			defer client.Close()
			p.run(ctx, client, partition)
		})
	}
	return p
}

func (p *timedProducers) run(ctx context.Context, client *kgo.Client, partition int32) {
	leader, id := int32(-1), [16]byte{}
	for ctx.Err() == nil {
		if leader < 0 {
			leader, id = p.find(ctx, client, partition)
		}
		if leader >= 0 && p.send(client.Broker(int(leader)), id, partition) != nil {
			leader = -1
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// find returns the partition's leader, -1 when there is none or nobody says.
func (p *timedProducers) find(ctx context.Context, client *kgo.Client, partition int32) (leader int32, id [16]byte) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	topics, err := kadm.NewClient(client).ListTopics(ctx, p.topic)
	if err != nil || topics.Error() != nil {
		return -1, id
	}
	return topics[p.topic].Partitions[partition].Leader, topics[p.topic].ID
}

// send sends one record and notes how long its answer took.
func (p *timedProducers) send(leader *kgo.Broker, id [16]byte, partition int32) error {
	b := record.NewBuilder(record.BuilderOptions{PartitionLeaderEpoch: record.NoLeaderEpoch})
	b.Append(time.Now().UnixMilli(), nil, make([]byte, 100), nil)
	batch, err := b.Build()
	if err != nil {
		return err
	}
	request := kmsg.NewPtrProduceRequest()
	request.Acks, request.TimeoutMillis = -1, int32(timedPatience.Milliseconds())
	request.Topics = []kmsg.ProduceRequestTopic{{Topic: p.topic, TopicID: id, Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: partition, Records: batch}}}}
	ctx, cancel := context.WithTimeout(context.Background(), timedPatience+10*time.Second)
	defer cancel()
	began := time.Now()
	answer, err := leader.Request(ctx, request)
	if err == nil {
		err = kerr.ErrorForCode(answer.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode)
	}
	took := time.Since(began)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.longest = max(p.longest, took)
	switch {
	case err == nil:
		p.done++
	case errors.Is(err, kerr.RequestTimedOut), errors.Is(err, context.DeadlineExceeded):
		p.stalls = append(p.stalls, fmt.Sprintf("partition %d of %s had no answer for %v: %v", partition, p.topic, took.Round(time.Millisecond), err))
	}
	return err
}

// awaitMore returns once so many more requests were acknowledged.
func (p *timedProducers) awaitMore(count int) {
	p.t.Helper()
	p.mu.Lock()
	want := p.done + count
	p.mu.Unlock()
	harness.Await(p.t, "timed requests acknowledged on "+p.topic, 2*time.Minute, func(context.Context) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.done < want {
			return fmt.Errorf("%d of %d", p.done, want)
		}
		return nil
	})
}

func (p *timedProducers) stop() {
	p.ending()
	p.joined.Wait()
}

// finish ends the producers; none of their requests may have stalled.
func (p *timedProducers) finish() {
	p.t.Helper()
	p.stop()
	p.t.Logf("%s: %d requests acknowledged, the longest took %v", p.topic, p.done, p.longest.Round(time.Millisecond))
	for _, stall := range p.stalls {
		p.t.Error(stall)
	}
}

// startIdleAndBusy makes a topic that was written to once, and one that is from here on, by the producers that it returns.
func (s *scene) startIdleAndBusy(configs map[string]*string) (busy *timedProducers) {
	s.t.Helper()
	s.createTopic("idle", 8, configs)
	once := startTimedProducers(s.t, s.Addresses(), "idle", 8)
	once.awaitMore(80)
	once.finish()
	s.createTopic("busy", 8, configs)
	busy = startTimedProducers(s.t, s.Addresses(), "busy", 8)
	busy.awaitMore(80)
	return busy
}

// mustServeIdleAndBusy wants the topic under load and both of these to take records.
func (s *scene) mustServeIdleAndBusy(when string, busy *timedProducers) {
	s.t.Helper()
	s.flow.mustProgress(when, 30*time.Second, nil)
	again := startTimedProducers(s.t, s.Addresses(), "idle", 8)
	again.awaitMore(400)
	again.finish()
	busy.awaitMore(400)
}
