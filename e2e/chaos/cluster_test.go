//go:build e2e

package chaos

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/e2e/harness"
)

// scene is a cluster with a replicated topic under load.
type scene struct {
	t *testing.T
	*harness.Cluster
	network *harness.Network
	disks   []*disk // by id - 1
	flow    *flow

	replicas int16 // of the topic under load
}

// sceneConfig says what a scene is made of.
type sceneConfig struct {
	nodes    int   // default 3
	replicas int16 // of the topic under load; default 3
	hosts    bool
	diskMiB  int // each node on a file system of its own of this size; 0: no
	dataDir  func(node int) string
	flow     flowConfig
	settings map[string]string
	topic    map[string]*string
	own      func(node int) map[string]string // settings of one node
	allowed  []*regexp.Regexp
	planted  string // a fault of broker/planted
}

// replicationFactor of a replicated topic, unless a test wants another.
const replicationFactor = 3

// newScene starts a cluster, makes the topic and begins the load; it returns once every partition takes records.
func newScene(t *testing.T, cfg sceneConfig) *scene {
	t.Helper()
	if cfg.nodes == 0 {
		cfg.nodes = 3
	}
	s := &scene{t: t, replicas: max(cfg.replicas, replicationFactor)}
	// A follower that is cut off from its leader alone holds back every acknowledgement until it counts as lagging: half a
	// minute by default, as in Kafka, which is longer than a test wants to wait.
	settings := map[string]string{"replica.lag.time.max.ms": "5000"}
	maps.Copy(settings, cfg.settings)
	config := harness.ClusterConfig{Nodes: cfg.nodes, Settings: settings, Own: cfg.own, Allowed: cfg.allowed, Planted: cfg.planted}
	if cfg.hosts {
		s.network = harness.NewNetwork(t, cfg.nodes)
		config.Network = s.network
	}
	config.DataDir = cfg.dataDir
	if cfg.diskMiB > 0 {
		for range cfg.nodes {
			s.disks = append(s.disks, newDisk(t, cfg.diskMiB))
		}
		config.DataDir = func(id int) string { return s.disks[id-1].dir("data") }
	}
	began := time.Now()
	s.Cluster = harness.StartCluster(t, config)
	if cfg.flow.partitions == 0 {
		cfg.flow.partitions = 6
	}
	if cfg.topic == nil {
		cfg.topic = map[string]*string{}
	}
	if cfg.topic["min.insync.replicas"] == nil {
		cfg.topic["min.insync.replicas"] = kadm.StringPtr("2")
	}
	s.createTopic("chaos", int32(cfg.flow.partitions), cfg.topic)
	s.flow = startFlow(t, s.Addresses(), cfg.flow)
	s.flow.mustProgress("at the start", 30*time.Second, nil)
	t.Logf("every partition takes records %v after the start", time.Since(began).Round(time.Millisecond))
	return s
}

func (s *scene) admin() (*kadm.Client, func()) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.Addresses()...), kgo.MetadataMinAge(20*time.Millisecond), kgo.DialTimeout(time.Second),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }), kgo.RequestTimeoutOverhead(2*time.Second))
	if err != nil {
		s.t.Fatalf("make a client: %v", err)
	}
	return kadm.NewClient(cl), cl.Close
}

func (s *scene) createTopic(name string, partitionCount int32, configs map[string]*string) {
	s.t.Helper()
	admin, done := s.admin()
	defer done()
	harness.Await(s.t, "create topic "+name, 30*time.Second, func(ctx context.Context) error {
		created, err := admin.CreateTopic(ctx, partitionCount, s.replicas, configs, name)
		if err == nil {
			err = created.Err
		}
		return err
	})
}

// partitions describes the topic under load.
func (s *scene) partitions(ctx context.Context) (kadm.PartitionDetails, error) {
	admin, done := s.admin()
	defer done()
	topics, err := admin.ListTopics(ctx, "chaos")
	if err == nil {
		err = topics.Error()
	}
	if err != nil {
		return nil, err
	}
	return topics["chaos"].Partitions, nil
}

// leader returns who leads a partition.
func (s *scene) leader(partition int32) *harness.Node {
	s.t.Helper()
	var id int32
	harness.Await(s.t, fmt.Sprintf("a leader of partition %d", partition), 30*time.Second, func(ctx context.Context) error {
		partitions, err := s.partitions(ctx)
		if err != nil {
			return err
		}
		if id = partitions[partition].Leader; id < 1 {
			return fmt.Errorf("it has none: %+v", partitions[partition])
		}
		return nil
	})
	return s.Node(int(id))
}

// awaitInSync waits until every replica of the topic is in sync, as every node that runs says: one that was cut off tells what
// it knew before until it hears of what was decided meanwhile.
func (s *scene) awaitInSync(within time.Duration) {
	s.t.Helper()
	harness.Await(s.t, "all replicas in sync", within, s.allInSync)
}

func (s *scene) allInSync(ctx context.Context) error {
	for _, n := range s.Nodes() {
		if !n.Running() {
			continue
		}
		if err := inSyncAt(ctx, n); err != nil {
			return fmt.Errorf("node %d: %w", n.ID(), err)
		}
	}
	return nil
}

// inSyncAt asks one node, and nobody else, whether all replicas of the topic are in sync.
func inSyncAt(ctx context.Context, node *harness.Node) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(node.Address()), kgo.DialTimeout(time.Second))
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr("chaos")}}
	response, err := cl.SeedBrokers()[0].Request(ctx, request)
	if err != nil {
		return err
	}
	topic := response.(*kmsg.MetadataResponse).Topics[0]
	if err := kerr.ErrorForCode(topic.ErrorCode); err != nil {
		return err
	}
	for _, p := range topic.Partitions {
		if p.Leader < 1 || len(p.ISR) != len(p.Replicas) {
			return fmt.Errorf("partition %d has leader %d and ISR %v of %v", p.Partition, p.Leader, p.ISR, p.Replicas)
		}
	}
	return nil
}

// awaitVoters waits until the metadata quorum is whole, and has been for two seconds: as many voters as nodes, nobody else,
// and all have caught up. Until the vote of a lost disk is given to the new one, no other may be lost.
func (s *scene) awaitVoters(within time.Duration) {
	s.t.Helper()
	began := time.Now()
	whole := 0
	harness.Await(s.t, "a whole metadata quorum", within, func(ctx context.Context) error {
		request := kmsg.NewPtrDescribeQuorumRequest()
		request.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{}}}}
		answer, err := request.RequestWith(ctx, s.flow.clients[0])
		if err != nil {
			return err
		}
		if len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1 {
			return fmt.Errorf("answer %+v", answer)
		}
		p := answer.Topics[0].Partitions[0]
		if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
			return err
		}
		whole++
		if len(p.CurrentVoters) != len(s.Nodes()) || len(p.Observers) > 0 {
			whole = 0
			return fmt.Errorf("%d voters and %d observers", len(p.CurrentVoters), len(p.Observers))
		}
		for _, v := range p.CurrentVoters {
			if v.LogEndOffset < p.HighWatermark-10 {
				whole = 0
				return fmt.Errorf("voter %d is at %d of %d", v.ReplicaID, v.LogEndOffset, p.HighWatermark)
			}
		}
		if whole < 40 {
			return fmt.Errorf("whole for %d looks", whole)
		}
		return nil
	})
	s.t.Logf("the quorum is whole after %v", time.Since(began).Round(time.Millisecond))
}

// end mends nothing any more: it wants progress, every replica in sync, a clean history, and equal replicas.
func (s *scene) end() {
	s.t.Helper()
	s.flow.mustProgress("after the last fault", 30*time.Second, nil)
	s.awaitInSync(30 * time.Second)
	ends := s.flow.finish()
	s.StopAll()
	mustBeEqual(s.t, s.Nodes(), "chaos", ends, int(s.replicas))
}

// Nothing goes wrong: what the other tests say of faults is not said of the quiet cluster.
func TestClusterInPeace(t *testing.T) {
	s := newScene(t, sceneConfig{flow: flowConfig{careless: 1}})
	time.Sleep(5 * time.Second)
	s.end()
}
