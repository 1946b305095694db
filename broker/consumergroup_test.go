package broker

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// startOne starts a broker that is alone.
func startOne(t *testing.T) *Broker {
	t.Helper()
	return startOneWith(t, nil)
}

func startOneWith(t *testing.T, static map[string]string) *Broker {
	t.Helper()
	static = maps.Clone(static)
	if static == nil {
		static = make(map[string]string)
	}
	static["offsets.topic.num.partitions"] = "1"
	b, err := New(Config{
		NodeID: 1, Directory: t.TempDir(), KafkaAddress: "127.0.0.1:0", HTTPAddress: "127.0.0.1:0", ShutdownGrace: 10 * time.Second,
		Static: static,
	}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// fleet is consumers of one group, with what each believes to have.
type fleet struct {
	t       *testing.T
	address string
	options []kgo.Opt

	mu    sync.Mutex
	has   map[*kgo.Client]map[string]bool
	owner map[string]*kgo.Client
	twice []string // partitions that somebody got while another had them
	moved chan struct{}
}

func newFleet(t *testing.T, address string, options ...kgo.Opt) *fleet {
	return &fleet{
		t: t, address: address, options: options,
		has: make(map[*kgo.Client]map[string]bool), owner: make(map[string]*kgo.Client), moved: make(chan struct{}, 1),
	}
}

func (f *fleet) join(options ...kgo.Opt) *kgo.Client {
	f.t.Helper()
	take := func(_ context.Context, c *kgo.Client, topics map[string][]int32) { f.change(c, topics, true) }
	give := func(_ context.Context, c *kgo.Client, topics map[string][]int32) { f.change(c, topics, false) }
	all := append([]kgo.Opt{
		kgo.SeedBrokers(f.address), kgo.Balancers(kgo.RangeBalancer()), kgo.ServerSideBalancer(),
		kgo.OnPartitionsAssigned(take), kgo.OnPartitionsRevoked(give), kgo.OnPartitionsLost(give), kgo.MetadataMinAge(10 * time.Millisecond),
	}, f.options...)
	client, err := kgo.NewClient(append(all, options...)...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	f.has[client] = make(map[string]bool)
	f.mu.Unlock()
	f.t.Cleanup(client.Close)
	return client
}

func (f *fleet) change(c *kgo.Client, topics map[string][]int32, has bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for topic, partitions := range topics {
		for _, p := range partitions {
			name := fmt.Sprintf("%s-%d", topic, p)
			if f.has[c] == nil {
				f.has[c] = make(map[string]bool)
			}
			if !has {
				delete(f.has[c], name)
				if f.owner[name] == c {
					delete(f.owner, name)
				}
				continue
			}
			if before := f.owner[name]; before != nil && before != c {
				f.twice = append(f.twice, name)
			}
			f.has[c][name], f.owner[name] = true, c
		}
	}
	select {
	case f.moved <- struct{}{}:
	default:
	}
}

// leave ends a consumer.
func (f *fleet) leave(c *kgo.Client) {
	c.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.has, c)
}

// settle waits until every partition is somebody's and nobody has more than one more than another.
func (f *fleet) settle(partitions int) time.Duration {
	f.t.Helper()
	started := time.Now()
	timeout := time.After(time.Minute)
	for !f.isSettled(partitions) {
		select {
		case <-f.moved:
		case <-timeout:
			f.t.Fatalf("after a minute: %s", f.describe())
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.twice) > 0 {
		f.t.Errorf("partitions with two owners at a time: %v", f.twice)
	}
	return time.Since(started)
}

func (f *fleet) isSettled(partitions int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	least, most, all := partitions, 0, 0
	for _, has := range f.has {
		least, most, all = min(least, len(has)), max(most, len(has)), all+len(has)
	}
	return all == partitions && most-least <= 1
}

func (f *fleet) describe() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	counts := ""
	for _, has := range f.has {
		counts += fmt.Sprintf(" %d", len(has))
	}
	return fmt.Sprintf("%d members with%s", len(f.has), counts)
}

// TestConsumerProtocol lets real consumers of the new protocol come and go.
func TestConsumerProtocol(t *testing.T) {
	b := startOne(t)
	admin := clientOf(t, b)
	if _, err := admin.CreateTopics(t.Context(), 200, 1, nil, "rides"); err != nil {
		t.Fatal(err)
	}
	f := newFleet(t, b.KafkaAddress(), kgo.ConsumerGroup("drivers"), kgo.ConsumeTopics("rides"))
	var members []*kgo.Client
	for range 20 {
		members = append(members, f.join())
	}
	t.Logf("twenty members settled after %v", f.settle(200))
	members = append(members, f.join())
	t.Logf("one more after %v", f.settle(200))
	f.leave(members[0])
	t.Logf("one less after %v", f.settle(200))
	if _, err := admin.CreatePartitions(t.Context(), 40, "rides"); err != nil {
		t.Fatal(err)
	}
	t.Logf("forty more partitions after %v", f.settle(240))
}
