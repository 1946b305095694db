package metadata

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/goleak"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/metadata/raft"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDirectory); dir != "" {
		fmt.Fprintln(os.Stderr, runChild(dir))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

func testConfig(directory string) Config {
	return Config{
		Directory: directory, NodeID: 1, InMemory: directory == "", Clock: time.Now,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Registerer: prometheus.NewRegistry(),
	}
}

// start opens and starts a node whose broker is registered.
func start(t testing.TB, cfg Config, subscribers ...func(*image.Delta)) *Node {
	t.Helper()
	n, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	for i, fn := range subscribers {
		n.Subscribe("test"+strconv.Itoa(i), fn)
	}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := n.RegisterBroker(t.Context(), image.Broker{ID: cfg.NodeID, Incarnation: [16]byte{1}}); err != nil {
		t.Fatal(err)
	}
	return n
}

func newTopic(name string, partitions int32) controller.NewTopic {
	return controller.NewTopic{Name: name, PartitionCount: partitions, ReplicationFactor: -1}
}

func create(t testing.TB, n *Node, topics ...controller.NewTopic) []controller.CreatedTopic {
	t.Helper()
	results := n.CreateTopics(t.Context(), "default", topics, false)
	for _, r := range results {
		if r.Err != nil {
			t.Fatalf("create %s: %v", r.Name, r.Err)
		}
	}
	return results
}

func TestRestartKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	first := start(t, testConfig(dir))
	created := create(t, first, newTopic("orders", 3), newTopic("rides", 1))
	value := "1000"
	for _, err := range first.AlterConfigs(t.Context(), []controller.ConfigChange{
		{Resource: config.Resource{Type: config.TopicResource, Name: "orders"}, Ops: []controller.ConfigOp{{Name: "retention.ms", Value: &value}}},
		{Resource: config.Resource{Type: config.BrokerResource}, Ops: []controller.ConfigOp{{Name: "log.retention.ms", Value: &value}}},
	}, false) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if errs := first.DeleteTopics(t.Context(), []image.TopicID{created[1].ID}); errs[0] != nil {
		t.Fatal(errs[0])
	}
	block, count, err := first.AllocateProducerIDs(t.Context(), 1, first.Image().Broker(1).Epoch)
	if err != nil || block != 0 || count != 1000 {
		t.Fatalf("first block is %d+%d, %v", block, count, err)
	}
	clusterID := first.ClusterID()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	var whole *image.Delta
	var once sync.Once
	cfg := testConfig(dir)
	second, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if second.ClusterID() != clusterID {
		t.Errorf("cluster id is %q before Start, want %q", second.ClusterID(), clusterID)
	}
	second.Subscribe("test", func(d *image.Delta) { once.Do(func() { whole = d }) })
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	img := second.Image()
	if img.ClusterID() != clusterID || img.TopicCount() != 1 || img.PartitionCount() != 3 {
		t.Errorf("image has cluster %q, %d topics, %d partitions", img.ClusterID(), img.TopicCount(), img.PartitionCount())
	}
	if orders := img.Topic("default", "orders"); orders == nil || orders.ID != created[0].ID || orders.Config["retention.ms"] != "1000" {
		t.Errorf("orders is %+v", orders)
	}
	if got := img.ConfigOverrides(config.Resource{Type: config.BrokerResource})["log.retention.ms"]; got != "1000" {
		t.Errorf("log.retention.ms is %q", got)
	}
	if whole == nil || len(whole.Topics) != 1 || whole.Topics[0].Before != nil || len(whole.Topics[0].Partitions) != 3 || whole.To.Index() != img.Index() {
		t.Errorf("the first delta does not deliver everything: %+v", whole)
	}
	if block, _, err := second.AllocateProducerIDs(t.Context(), 1, second.Image().Broker(1).Epoch); err != nil || block != 1000 {
		t.Errorf("the next block begins at %d, %v", block, err)
	}
	if _, err := second.RegisterBroker(t.Context(), image.Broker{ID: 1, Incarnation: [16]byte{2}}); err != nil {
		t.Fatal(err)
	}
	if p := second.Image().Topic("default", "orders").Partition(2); p.LeaderEpoch != 1 || p.Leader != 1 {
		t.Errorf("a new incarnation leads under epoch %d, leader %d; want 1, 1", p.LeaderEpoch, p.Leader)
	}
}

func TestAnswerComesAfterSubscribers(t *testing.T) {
	seen := map[string]bool{}
	var mu sync.Mutex
	n := start(t, testConfig(""), func(d *image.Delta) {
		time.Sleep(time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		for _, c := range d.Topics {
			seen[c.After.Name] = true
		}
	})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			name := "t" + strconv.Itoa(i)
			create(t, n, newTopic(name, 1))
			mu.Lock()
			defer mu.Unlock()
			if !seen[name] {
				t.Errorf("%s was answered before the subscriber saw it", name)
			}
		})
	}
	wg.Wait()
}

func TestRequestsThatWaitShareAnEntry(t *testing.T) {
	n := start(t, testConfig(""))
	before := n.Image().Index()
	var wg sync.WaitGroup
	planning, hold := make(chan struct{}), make(chan struct{})
	wg.Go(func() {
		_, _ = n.change(t.Context(), func(*image.Image) command.Group { close(planning); <-hold; return nil })
	})
	<-planning
	for i := range 50 {
		wg.Go(func() { create(t, n, newTopic("t"+strconv.Itoa(i), 1)) })
	}
	for len(n.proposer.queue) < 50 {
		time.Sleep(time.Millisecond)
	}
	close(hold)
	wg.Wait()
	if index := n.Image().Index(); index != before+1 || n.Image().TopicCount() != 50 {
		t.Errorf("50 requests took the log from index %d to %d, %d topics", before, index, n.Image().TopicCount())
	}
}

func TestConcurrentRequestsForOneName(t *testing.T) {
	n := start(t, testConfig(""))
	var wg sync.WaitGroup
	var mu sync.Mutex
	created, refused := 0, 0
	for range 20 {
		wg.Go(func() {
			r := n.CreateTopics(t.Context(), "default", []controller.NewTopic{newTopic("same", 1)}, false)[0]
			mu.Lock()
			defer mu.Unlock()
			if r.Err == nil {
				created++
			} else if errors.Is(r.Err, kerr.TopicAlreadyExists) {
				refused++
			}
		})
	}
	wg.Wait()
	if created != 1 || refused != 19 {
		t.Errorf("%d created and %d refused, want 1 and 19", created, refused)
	}
}

func TestOpenRefusesForeignDirectory(t *testing.T) {
	dir := t.TempDir()
	n := start(t, testConfig(dir))
	if _, err := Open(t.Context(), testConfig(dir)); !errors.Is(err, raft.ErrLocked) {
		t.Errorf("a second opening: %v, want ErrLocked", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	otherNode, otherCluster := testConfig(dir), testConfig(dir)
	otherNode.NodeID, otherCluster.ClusterID = 2, "another"
	for name, cfg := range map[string]Config{"node": otherNode, "cluster": otherCluster} {
		if n, err := Open(t.Context(), cfg); err == nil {
			_ = n.Close()
			t.Errorf("data of another %s was accepted", name)
		} else {
			t.Log(err)
		}
	}
}

func BenchmarkFirstStart(b *testing.B) {
	for b.Loop() {
		n := start(b, testConfig(b.TempDir()))
		_ = n.Close()
	}
}

func BenchmarkCreateTenThousandPartitions(b *testing.B) {
	for b.Loop() {
		n := start(b, testConfig(b.TempDir()))
		for i := range 20 {
			create(b, n, newTopic("t"+strconv.Itoa(i), 500))
		}
		_ = n.Close()
	}
}
