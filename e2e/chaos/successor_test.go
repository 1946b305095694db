//go:build e2e

package chaos

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/e2e/harness"
)

// A leader that only the controller does not reach is followed by the others until one of them is elected. When they cannot
// tell it that they have left, because the way from them to it breaks just before, they seem to follow it for a second more:
// it must not take them for followers, and tell an older end than its successor has told. It asks them, and hears nothing.
func TestRegressionFormerLeaderAsksWhetherItIsFollowed(t *testing.T) {
	const session = 4 * time.Second
	s := newScene(t, sceneConfig{nodes: 4, hosts: true, flow: flowConfig{pause: 20 * time.Millisecond}, settings: map[string]string{
		"broker.session.timeout.ms": fmt.Sprint(session.Milliseconds()), "broker.heartbeat.interval.ms": "50",
	}})
	for round := range rounds(t, 3) {
		s.awaitInSync(30 * time.Second)
		controller := s.controller()
		replicas := s.others(controller)
		topic := fmt.Sprint("succession-", round)
		s.createOn(topic, replicas)
		w := s.watchSuccession(topic, replicas)

		s.network.Sever(replicas[0].ID(), controller.ID())
		time.Sleep(session - 300*time.Millisecond) // later: the way breaks after the election; earlier: the leader doubts before it
		for _, follower := range replicas[1:] {
			s.network.Cut(follower.ID(), replicas[0].ID())
		}
		harness.Await(t, "a successor takes records", 30*time.Second, func(context.Context) error {
			if w.successors.Load() < 100 {
				return fmt.Errorf("it has taken %d", w.successors.Load())
			}
			return nil
		})
		s.network.Heal()
		w.end(round)
	}
	s.end()
}

// controller returns the node that leads the quorum.
func (s *scene) controller() (controller *harness.Node) {
	s.t.Helper()
	admin, done := s.admin()
	defer done()
	harness.Await(s.t, "a controller", 30*time.Second, func(ctx context.Context) error {
		brokers, err := admin.BrokerMetadata(ctx)
		if err != nil || brokers.Controller < 1 {
			return fmt.Errorf("it is %d, %w", brokers.Controller, err)
		}
		controller = s.Node(int(brokers.Controller))
		return nil
	})
	return controller
}

// succession is a partition whose first replica is asked where it ends, while records are offered to all of its replicas.
type succession struct {
	s          *scene
	topic      string
	id         kadm.TopicID
	stop       context.CancelFunc
	asking     sync.WaitGroup
	told       atomic.Int64 // the highest end that a client knows by an acknowledgement
	successors atomic.Int64 // records that others than the first replica have acknowledged
	answers    atomic.Int64
	refusals   atomic.Int64
	older      atomic.Int64 // ends below what was told before they were asked for
}

func (s *scene) watchSuccession(topic string, replicas []*harness.Node) *succession {
	s.t.Helper()
	w := &succession{s: s, topic: topic}
	harness.Await(s.t, "topic "+topic, 30*time.Second, func(ctx context.Context) error {
		admin, done := s.admin()
		defer done()
		topics, err := admin.ListTopics(ctx, topic)
		if w.id = topics[topic].ID; err == nil {
			err = topics[topic].Err
		}
		return err
	})
	var ctx context.Context
	ctx, w.stop = context.WithCancel(s.t.Context())
	for i, node := range replicas {
		cl := newClient(s.t, node.Address())
		s.t.Cleanup(cl.Close)
		w.asking.Go(func() { w.offer(ctx, cl.SeedBrokers()[0], i > 0) })
	}
	first := newClient(s.t, replicas[0].Address())
	s.t.Cleanup(first.Close)
	w.asking.Go(func() { w.ask(ctx, first.SeedBrokers()[0]) })
	return w
}

// offer writes to a node, which takes it when it leads.
func (w *succession) offer(ctx context.Context, to *kgo.Broker, successor bool) {
	b := record.NewBuilder(record.BuilderOptions{})
	b.Append(1, nil, []byte("x"), nil)
	batch, err := b.Build()
	if err != nil {
		w.s.t.Errorf("build a batch: %v", err)
	}
	partition := kmsg.NewProduceRequestTopicPartition()
	partition.Records = batch
	for ctx.Err() == nil {
		r := kmsg.NewPtrProduceRequest()
		r.Acks, r.TimeoutMillis = -1, 10_000
		r.Topics = []kmsg.ProduceRequestTopic{{Topic: w.topic, TopicID: w.id, Partitions: []kmsg.ProduceRequestTopicPartition{partition}}}
		answer, err := to.Request(ctx, r)
		if err != nil {
			continue
		}
		if p := answer.(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode == 0 {
			w.tell(p.BaseOffset+1, successor)
		} else {
			time.Sleep(time.Millisecond) // it may be elected
		}
	}
}

func (w *succession) tell(end int64, successor bool) {
	for before := w.told.Load(); before < end && !w.told.CompareAndSwap(before, end); before = w.told.Load() {
	}
	if successor {
		w.successors.Add(1)
	}
}

// ask asks a node for the end, without an epoch.
func (w *succession) ask(ctx context.Context, to *kgo.Broker) {
	for ctx.Err() == nil {
		r := listOffsets(0, -1, -1)
		r.Topics[0].Topic = w.topic
		before := w.told.Load()
		answer, err := to.Request(ctx, r)
		if err != nil {
			continue
		}
		p := answer.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
		switch {
		case p.ErrorCode != 0:
			w.refusals.Add(1)
		case p.Offset < before:
			w.older.Add(1)
			w.s.t.Logf("the leader of before tells %d after %d was told elsewhere", p.Offset, before)
		default:
			w.answers.Add(1)
		}
	}
}

// end ends the questions and holds what was told against what was known.
func (w *succession) end(round int) {
	w.s.t.Helper()
	w.stop()
	w.asking.Wait()
	w.s.t.Logf("round %d: %d answers, %d refusals, %d older ends; %d records acknowledged, the last %d by a successor",
		round, w.answers.Load(), w.refusals.Load(), w.older.Load(), w.told.Load(), w.successors.Load())
	if w.older.Load() > 0 {
		w.s.t.Errorf("round %d: %d times the leader of before told an older end than its successor", round, w.older.Load())
	}
	if w.answers.Load() == 0 {
		w.s.t.Errorf("round %d: the leader never answered", round)
	}
}
