package broker

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/e2e/harness"
	"github.com/millrace-io/millrace/security"
)

// freeVoters are three voters at addresses that are free.
func freeVoters(t *testing.T) (voters []Voter) {
	t.Helper()
	for id := int32(1); id <= 3; id++ {
		voters = append(voters, Voter{NodeID: id, Address: harness.FreeAddress(t)})
	}
	return voters
}

// startTrio starts three brokers of one new cluster in this process. What they log goes to others, too.
func startTrio(t *testing.T, others ...io.Writer) []*Broker {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(io.MultiWriter(append(others, t.Output())...), nil))
	voters := freeVoters(t)
	brokers := make([]*Broker, len(voters))
	var starting sync.WaitGroup
	for i, v := range voters {
		b, err := New(Config{
			NodeID: v.NodeID, Directory: t.TempDir(), KafkaAddress: "127.0.0.1:0", HTTPAddress: "127.0.0.1:0", ShutdownGrace: 10 * time.Second,
			Cluster: Cluster{Address: v.Address, InitialVoters: voters},
			Static:  map[string]string{"offsets.topic.num.partitions": "1", "transaction.state.log.num.partitions": "3"},
		}, logger.With("node", v.NodeID))
		if err != nil {
			t.Fatal(err)
		}
		brokers[i] = b
		starting.Go(func() {
			if err := b.Start(t.Context()); err != nil {
				t.Errorf("start broker %d: %v", v.NodeID, err)
			}
		})
	}
	starting.Wait()
	if t.Failed() {
		t.FailNow()
	}
	t.Cleanup(func() {
		var stopping sync.WaitGroup
		for _, b := range brokers {
			if b != nil { // else the test has stopped it
				stopping.Go(func() { _ = b.Close() })
			}
		}
		stopping.Wait()
	})
	return brokers
}

func clientOf(t *testing.T, brokers ...*Broker) *kadm.Client {
	t.Helper()
	return kadm.NewClient(kafkaClient(t, brokers...))
}

func kafkaClient(t *testing.T, brokers ...*Broker) *kgo.Client {
	t.Helper()
	var seeds []string
	for _, b := range brokers {
		seeds = append(seeds, b.KafkaAddress())
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.RetryTimeout(time.Minute), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func TestThreeBrokers(t *testing.T) {
	brokers := startTrio(t)
	t.Run("every broker creates topics", func(t *testing.T) { everyBrokerCreatesTopics(t, brokers) })
	t.Run("lag is known where there is no replica", func(t *testing.T) { endsAreKnownEverywhere(t, brokers) })
	t.Run("committed offsets do not go back", func(t *testing.T) { committedOffsetsDoNotGoBack(t, brokers) })
	t.Run("transactions", func(t *testing.T) { transactions(t, brokers...) })
}

// Whatever broker a topic is created at, that broker shows it at once, with three replicas and all its brokers.
func everyBrokerCreatesTopics(t *testing.T, brokers []*Broker) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i, b := range brokers {
		client, err := kgo.NewClient(kgo.SeedBrokers(b.KafkaAddress()))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		this := client.SeedBrokers()[0]
		create := kmsg.NewPtrCreateTopicsRequest()
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = fmt.Sprintf("topic-%d", i), 3, 3
		create.Topics, create.TimeoutMillis = append(create.Topics, topic), 30_000
		created, err := this.Request(ctx, create)
		if err != nil {
			t.Fatal(err)
		}
		if got := created.(*kmsg.CreateTopicsResponse).Topics[0]; got.ErrorCode != 0 {
			t.Fatalf("broker %d: error %d", i+1, got.ErrorCode)
		}
		ask := kmsg.NewPtrMetadataRequest()
		ask.Topics = []kmsg.MetadataRequestTopic{{Topic: &topic.Topic}}
		answer, err := this.Request(ctx, ask)
		if err != nil {
			t.Fatal(err)
		}
		shown := answer.(*kmsg.MetadataResponse)
		if len(shown.Brokers) != 3 || shown.Topics[0].ErrorCode != 0 || len(shown.Topics[0].Partitions) != 3 {
			t.Fatalf("broker %d shows %+v, brokers %+v", i+1, shown.Topics[0], shown.Brokers)
		}
		for _, p := range shown.Topics[0].Partitions {
			if p.ErrorCode != 0 || p.Leader < 1 || len(p.Replicas) != 3 || len(p.ISR) != 3 {
				t.Errorf("broker %d: partition %+v", i+1, p)
			}
		}
	}
}

// A broker computes lag for groups whose partitions lie on other brokers only.
func endsAreKnownEverywhere(t *testing.T, brokers []*Broker) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers[0].KafkaAddress()), kgo.DefaultProduceTopic("lonely"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 1, 1, nil, "lonely"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := client.ProduceSync(ctx, kgo.StringRecord("x")).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range brokers {
		for b.metadata.Image().Topic(security.DefaultTenant, "lonely") == nil { // it was made at another broker just now
			if ctx.Err() != nil {
				t.Fatal(ctx.Err())
			}
			time.Sleep(time.Millisecond)
		}
		ends := lagSource{b}.EndOffsets(ctx, []group.CommittedOffset{
			{Tenant: security.DefaultTenant, Group: "a", Topic: "lonely"}, {Tenant: security.DefaultTenant, Group: "b", Topic: "lonely"},
			{Tenant: security.DefaultTenant, Group: "a", Topic: "nowhere"},
		})
		if !slices.Equal(ends, []int64{3, 3, -1}) {
			t.Errorf("broker %d: the ends are %v", b.cfg.NodeID, ends)
		}
	}
}

// While the coordinator of a group moves from broker to broker, nobody ever reads a committed offset below one that was
// acknowledged before.
func committedOffsetsDoNotGoBack(t *testing.T, brokers []*Broker) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	admin := clientOf(t, brokers...)
	if _, err := admin.CreateTopic(ctx, 1, 3, nil, "progress"); err != nil {
		t.Fatal(err)
	}
	var acknowledged atomic.Int64
	var clients sync.WaitGroup
	done, stop := context.WithCancel(ctx)
	committer, reader := clientOf(t, brokers...), clientOf(t, brokers...)
	clients.Go(func() {
		for at := int64(1); done.Err() == nil; at++ {
			offsets := kadm.Offsets{}
			offsets.AddOffset("progress", 0, at, -1)
			if answer, err := committer.CommitOffsets(done, "g", offsets); err == nil && answer.Ok() {
				acknowledged.Store(at)
			}
		}
	})
	clients.Go(func() {
		for done.Err() == nil {
			least := acknowledged.Load()
			answer, err := reader.FetchOffsets(done, "g")
			if err != nil || !answer.Ok() {
				continue
			}
			if got, ok := answer.Lookup("progress", 0); least > 0 && (!ok || got.At < least) {
				t.Errorf("%d was acknowledged, %+v was read", least, got.Offset)
				return
			}
		}
	})
	for acknowledged.Load() == 0 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	orders := [][]int32{{1, 2, 3}, {2, 3, 1}, {3, 1, 2}}
	leaders := map[int32]bool{}
	for move := range 9 {
		before := acknowledged.Load()
		var moving kadm.AlterPartitionAssignmentsReq
		moving.Assign("__consumer_offsets", 0, orders[move%3])
		if _, err := admin.AlterPartitionAssignments(ctx, moving); err != nil {
			t.Fatal(err)
		}
		which := kadm.TopicsSet{}
		which.Add("__consumer_offsets", 0)
		if _, err := admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, which); err != nil {
			t.Fatal(err)
		}
		for acknowledged.Load() < before+3 && ctx.Err() == nil && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
		if found := admin.FindGroupCoordinators(ctx, "g"); found["g"].Err == nil {
			leaders[found["g"].NodeID] = true
		}
	}
	stop()
	clients.Wait()
	if ctx.Err() != nil || len(leaders) < 2 {
		t.Errorf("the coordinator was at brokers %v, %d commits were acknowledged: %v", leaders, acknowledged.Load(), ctx.Err())
	}
}
