//go:build e2e

package chaos

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/e2e/chaos/checker"
	"github.com/millrace-io/millrace/e2e/harness"
)

// Five voters lose two, and everything goes on; they lose a third, and with it the quorum: what needs no decision of a
// controller goes on, and what needs one is refused in so many words. With all of them back nothing is missing.
func TestClusterOfFiveLosesTwoAndAThird(t *testing.T) {
	s := newScene(t, sceneConfig{nodes: 5, replicas: 5})
	s.awaitVoters(30 * time.Second)
	first, second, third, survivors := s.Node(1), s.Node(2), s.Node(3), []*harness.Node{s.Node(4), s.Node(5)}
	s.createOn("survivors", survivors)
	ledger := NewLedger()
	load := startLoad(t, survivors[0].Address(), loadConfig{topic: "survivors", partitions: 2}, ledger)

	first.Kill()
	second.Kill()
	s.flow.mustProgress("with two of five lost", progressDuring, nil)
	awaitAcknowledged(t, ledger, 500, progressDuring)
	s.createTopic("decided-by-three", 3, nil)

	third.Kill()
	awaitAcknowledged(t, ledger, 500, progressDuring)
	s.mustTakeNewProducer(survivors[0], "survivors", ledger)
	s.mustRefuseTopics(survivors)
	s.mustReadOnWithoutQuorum(survivors)
	s.mustTellCommitted(survivors)

	s.StartAll()
	s.flow.mustProgress("with all five back", progressAfter, nil)
	load.stop(t)
	s.awaitInSync(40 * time.Second)
	reads, err := readAll(t, survivors[0].Address(), "survivors")
	if err != nil {
		t.Fatal(err)
	}
	report(t, ledger.Check(reads))
	s.end()
}

// createOn creates a topic with a partition that each of the nodes leads and all of them hold.
func (s *scene) createOn(name string, nodes []*harness.Node) {
	s.t.Helper()
	request := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, -1, -1
	for p := range nodes {
		assignment := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		assignment.Partition = int32(p)
		for i := range nodes {
			assignment.Replicas = append(assignment.Replicas, int32(nodes[(p+i)%len(nodes)].ID()))
		}
		topic.ReplicaAssignment = append(topic.ReplicaAssignment, assignment)
	}
	minimum := kmsg.NewCreateTopicsRequestTopicConfig()
	minimum.Name, minimum.Value = "min.insync.replicas", kmsg.StringPtr("2")
	topic.Configs = append(topic.Configs, minimum)
	request.Topics = append(request.Topics, topic)
	if code := s.ask(nodes[0], request); code != nil {
		s.t.Fatalf("create topic %s: %v", name, code)
	}
}

// ask has one node answer a request for one topic, and returns the error that it names.
func (s *scene) ask(node *harness.Node, request *kmsg.CreateTopicsRequest) error {
	s.t.Helper()
	cl := newClient(s.t, node.Address())
	defer cl.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	response, err := cl.SeedBrokers()[0].Request(ctx, request)
	if err != nil {
		s.t.Fatalf("node %d does not answer a CreateTopics: %v", node.ID(), err)
	}
	return kerr.ErrorForCode(response.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode)
}

// mustTakeNewProducer wants a producer that comes without a controller to get its id, and its record acknowledged.
func (s *scene) mustTakeNewProducer(node *harness.Node, topic string, ledger *Ledger) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), progressDuring)
	defer cancel()
	cl := newClient(s.t, node.Address(), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer cl.Close()
	v := Value{Producer: producers}
	ledger.Sent(v)
	r := &kgo.Record{Value: []byte(v.String())}
	if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
		s.t.Fatalf("a producer that comes while there is no controller: %v", err)
	}
	ledger.Acknowledged(v, r.Partition, r.Offset)
}

// mustRefuseTopics wants each of the nodes to say that a topic cannot be created now, as an error that is worth another try.
func (s *scene) mustRefuseTopics(nodes []*harness.Node) {
	s.t.Helper()
	for _, node := range nodes {
		request := kmsg.NewPtrCreateTopicsRequest()
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "undecided", 1, 2
		request.Topics, request.TimeoutMillis = append(request.Topics, topic), 3000
		began := time.Now()
		err := s.ask(node, request)
		var refusal *kerr.Error
		if !errors.As(err, &refusal) || !refusal.Retriable {
			s.t.Errorf("node %d answers a CreateTopics without a quorum with %v", node.ID(), err)
		}
		s.t.Logf("node %d refuses a topic after %v: %v", node.ID(), time.Since(began).Round(time.Millisecond), err)
	}
}

// mustReadOnWithoutQuorum wants a new reader to get everything that was acknowledged on partitions that have a leader.
func (s *scene) mustReadOnWithoutQuorum(nodes []*harness.Node) {
	s.t.Helper()
	acked := map[int32]int{}
	for p := range int32(s.flow.cfg.partitions) {
		acked[p] = s.flow.rec.Acked(checker.Key(p))
	}
	partitions, err := s.partitions(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	led := map[int32]kgo.Offset{}
	for _, p := range partitions {
		for _, node := range nodes {
			if p.Leader == int32(node.ID()) {
				led[p.Partition] = kgo.NewOffset().AtStart()
			}
		}
	}
	if len(led) == 0 {
		s.t.Fatalf("no partition is led by those that live: %+v", partitions)
	}
	cl := newClient(s.t, nodes[0].Address(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"chaos": led}))
	defer cl.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), progressDuring)
	defer cancel()
	read := map[int32]int{}
	for left := len(led); left > 0; {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if read[r.Partition]++; read[r.Partition] == acked[r.Partition] {
				left--
			}
		})
		if ctx.Err() != nil {
			s.t.Fatalf("without a quorum %v of %v acknowledged records were read", read, acked)
		}
	}
	for p := range led {
		// Sessions have lapsed by now, and replicas are silent: but their processes have ended, so they are no successors.
		d := s.direct(s.Node(int(partitions[p].Leader)))
		harness.Await(s.t, fmt.Sprintf("the end of partition %d for who names no epoch", p), progressDuring, func(context.Context) error {
			return d.listOffset(p, -1, -1)
		})
	}
	s.t.Logf("without a quorum %d partitions are read to the end", len(led))
}

// mustTellCommitted wants each of the nodes to tell what a group of its own has committed.
func (s *scene) mustTellCommitted(nodes []*harness.Node) {
	s.t.Helper()
	cl := newClient(s.t, nodes[0].Address())
	defer cl.Close()
	told := 0
	for i := range 20 {
		group := fmt.Sprint("without-quorum-", i)
		ctx, cancel := context.WithTimeout(s.t.Context(), progressDuring)
		at := kadm.NewClient(cl).FindGroupCoordinators(ctx, group)[group]
		cancel()
		for _, node := range nodes {
			if at.Err != nil || at.NodeID != int32(node.ID()) {
				continue
			}
			told++
			harness.Await(s.t, fmt.Sprintf("what group %s has committed, of node %d", group, node.ID()), progressDuring, func(context.Context) error {
				return s.direct(node).committed(group)
			})
		}
	}
	if told == 0 {
		s.t.Fatal("no group of 20 is coordinated by those that live")
	}
	s.t.Logf("without a quorum the offsets of %d groups are told", told)
}
