//go:build e2e

package transactions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/e2e/harness"
)

// TestWhatOperatorsAreTold holds ListTransactions, DescribeTransactions and DescribeProducers against a transaction that is open,
// one that hangs (a partition has it, and its coordinator knows nothing of it), and one that is decided and cannot be completed,
// since a partition of it has no leader.
func TestWhatOperatorsAreTold(t *testing.T) {
	s := newStageWith(t, 3, nil, map[string]string{"transaction.partition.verification.enable": "false"})
	open := s.speaker(false, "open")
	open.want("init", open.init(), nil)
	open.want("write", open.produce(0, "open"), nil)

	hanging := s.speaker(true, "hanging")
	hanging.want("init", hanging.init(), nil)
	hanging.want("write", hanging.produce(1, "hanging"), nil) // was never added, and nobody verifies

	deciding := s.speaker(true, "deciding")
	deciding.want("init", deciding.init(), nil)
	away := s.aloneOn(s.coordinatorOf("deciding")%3 + 1)
	deciding.want("add", deciding.addOf("alone", 0), nil)
	away.Kill()
	deciding.want("commit", deciding.end(true), nil)

	s.told("open", "Ongoing", open.producerID, map[string][]int32{stageTopic: {0}})
	s.told("hanging", "Empty", hanging.producerID, nil)
	s.told("deciding", "PrepareCommit", deciding.producerID, map[string][]int32{"alone": {0}})
	for _, q := range []struct {
		pattern string
		longer  time.Duration
		states  []string
		want    []string
	}{
		{"", -1, nil, []string{"deciding", "hanging", "open"}},
		{"", time.Hour, []string{"Ongoing", "PrepareCommit"}, nil},
		{"", 0, []string{"Ongoing", "PrepareCommit"}, []string{"deciding", "open"}},
		{"", -1, []string{"Empty"}, []string{"hanging"}},
		{".*in.*", -1, nil, []string{"deciding", "hanging"}},
		{"in", -1, nil, nil}, // matches no whole id
		{"open|hang.{3}", -1, nil, []string{"hanging", "open"}},
	} {
		if got := s.list(q.pattern, q.longer, q.states); !slices.Equal(got, q.want) {
			t.Errorf("pattern %q, longer than %v, states %v: %v, want %v", q.pattern, q.longer, q.states, got, q.want)
		}
	}
	s.holds(0, open.producerID, open.epoch, 0)
	s.holds(1, hanging.producerID, hanging.epoch, 0)

	// The operator ends the one that hangs; the others are not touched.
	marker := kadm.TxnMarkers{ProducerID: hanging.producerID, ProducerEpoch: hanging.epoch, Topics: kadm.TopicsSet{}}
	marker.Topics.Add(stageTopic, 1)
	answers, err := s.admin.WriteTxnMarkers(t.Context(), marker)
	if err == nil {
		err = answers[hanging.producerID].Topics[stageTopic].Partitions[1].Err
	}
	if err != nil {
		t.Fatal(err)
	}
	s.holds(1, hanging.producerID, hanging.epoch, -1)
	s.holds(0, open.producerID, open.epoch, 0)

	away.Start()
	away.AwaitServing()
	await(t, "what was decided is complete", func(ctx context.Context) error {
		d, err := s.admin.DescribeTransactions(ctx, "deciding")
		if err == nil && d["deciding"].State != "CompleteCommit" {
			err = fmt.Errorf("it is %s", d["deciding"].State)
		}
		return err
	})
	s.told("deciding", "CompleteCommit", deciding.producerID, nil)
	s.told("open", "Ongoing", open.producerID, map[string][]int32{stageTopic: {0}})
}

// aloneOn makes a topic whose one replica is on a node, which must not be the leader of what else is asked.
func (s *stage) aloneOn(node int) *harness.Node {
	s.t.Helper()
	client := s.client()
	await(s.t, "a topic on one node is there", func(ctx context.Context) error {
		r := kmsg.NewPtrCreateTopicsRequest()
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "alone", -1, -1
		topic.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Partition: 0, Replicas: []int32{int32(node)}}}
		r.Topics = []kmsg.CreateTopicsRequestTopic{topic}
		answer, err := r.RequestWith(ctx, client)
		if err != nil {
			return err
		}
		if err := kerr.ErrorForCode(answer.Topics[0].ErrorCode); !errors.Is(err, kerr.TopicAlreadyExists) {
			return err
		}
		return nil
	})
	return s.Node(node)
}

// told wants DescribeTransactions to say this of a transactional id.
func (s *stage) told(id, state string, producerID int64, partitions map[string][]int32) {
	s.t.Helper()
	var got kadm.DescribedTransaction
	await(s.t, "a transaction is described", func(ctx context.Context) error {
		all, err := s.admin.DescribeTransactions(ctx, id)
		if err != nil {
			return err
		}
		got = all[id]
		return got.Err
	})
	if got.State != state || got.ProducerID != producerID || len(got.Topics) != len(partitions) {
		s.t.Errorf("%s is %+v, want %s of producer %d with %v", id, got, state, producerID, partitions)
	}
	for topic, numbers := range partitions {
		for _, number := range numbers {
			if !got.Topics.Lookup(topic, number) {
				s.t.Errorf("%s has %v, want %s-%d", id, got.Topics, topic, number)
			}
		}
	}
}

// list is ListTransactions of version 2 of all brokers that run.
func (s *stage) list(pattern string, longer time.Duration, states []string) (ids []string) {
	s.t.Helper()
	client := s.client()
	await(s.t, "every broker lists its transactions", func(ctx context.Context) error {
		ids = nil
		for _, n := range s.Nodes() {
			if !n.Running() {
				continue
			}
			r := kmsg.NewPtrListTransactionsRequest()
			r.StateFilters, r.DurationFilterMillis, r.TransactionalIDPattern = states, longer.Milliseconds(), &pattern
			if longer < 0 {
				r.DurationFilterMillis = -1
			}
			answer, err := client.Broker(n.ID()).Request(ctx, r)
			if err != nil {
				return err
			}
			listed := answer.(*kmsg.ListTransactionsResponse)
			if err := kerr.ErrorForCode(listed.ErrorCode); err != nil {
				return err
			}
			for _, t := range listed.TransactionStates {
				ids = append(ids, t.TransactionalID)
			}
		}
		slices.Sort(ids)
		if longer < time.Hour && len(states) == 0 && pattern == "" && len(ids) < 3 { // a coordinator is on its way to another broker
			return fmt.Errorf("%v", ids)
		}
		return nil
	})
	return ids
}

// holds wants DescribeProducers to say where a producer's transaction begins on a partition, -1: it has none there.
func (s *stage) holds(partition int32, producerID int64, epoch int16, offset int64) {
	s.t.Helper()
	set := kadm.TopicsSet{}
	set.Add(stageTopic, partition)
	var found []kadm.DescribedProducer
	await(s.t, "producers are described", func(ctx context.Context) error {
		all, err := s.admin.DescribeProducers(ctx, set)
		if err != nil {
			return err
		}
		p := all[stageTopic].Partitions[partition]
		found = nil
		for _, producer := range p.ActiveProducers {
			found = append(found, producer)
		}
		return p.Err
	})
	if len(found) != 1 || found[0].ProducerID != producerID || found[0].ProducerEpoch != epoch || found[0].CurrentTxnStartOffset != offset {
		s.t.Errorf("partition %d has %+v, want producer %d/%d from offset %d on", partition, found, producerID, epoch, offset)
	}
}
