package api

import (
	"cmp"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/log/producer"
	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/security"
)

// DescribeProducers (key 61), version 0.
// Kafka: KafkaApis.handleDescribeProducersRequest, Partition.activeProducerState, UnifiedLog.activeProducers.
//
// Any replica answers for its own log.

func describeProducers(s *Services, c *Call, r *kmsg.DescribeProducersRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.DescribeProducersResponse)
	for _, t := range r.Topics {
		topic := kmsg.NewDescribeProducersResponseTopic()
		topic.Topic = t.Topic
		for _, number := range t.Partitions {
			p := kmsg.NewDescribeProducersResponseTopicPartition()
			p.Partition = number
			states, err := s.activeProducers(c, t.Topic, number)
			p.ErrorCode, p.ErrorMessage = s.outcome(err)
			if s.Replicas.TopicByName(c.Identity.Tenant, []byte(t.Topic)) != nil && errors.Is(err, kerr.UnknownTopicOrPartition) {
				p.ErrorMessage = nil // Kafka has words for a topic that is not there, and none for a partition
			}
			for i := range states {
				p.ActiveProducers = append(p.ActiveProducers, activeProducer(&states[i]))
			}
			topic.Partitions = append(topic.Partitions, p)
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer
}

func (s *Services) activeProducers(c *Call, topic string, number int32) ([]producer.State, error) {
	if !s.Allowed(c, security.OperationRead, security.ResourceTopic, topic) {
		return nil, kerr.TopicAuthorizationFailed
	}
	if fault := controller.CheckTopicName(topic); fault != nil {
		return nil, fault
	}
	p, fault := s.replicaOf(c, topic, number)
	if fault != nil {
		return nil, fault
	}
	l := p.Log()
	if l == nil {
		return nil, nil
	}
	states := l.ActiveProducers()
	slices.SortFunc(states, func(a, b producer.State) int { return cmp.Compare(a.ID, b.ID) })
	return states, nil
}

// replicaOf returns this broker's replica of a partition, whether it leads or follows.
func (s *Services) replicaOf(c *Call, topic string, number int32) (*replica.Partition, error) {
	t := s.Replicas.TopicByName(c.Identity.Tenant, []byte(topic))
	if t == nil {
		return nil, kerr.UnknownTopicOrPartition
	}
	if p := t.Partition(number); p != nil {
		if err := p.Err(); errors.Is(err, kerr.KafkaStorageError) {
			return nil, err
		}
		return p, nil
	}
	if number >= 0 && int(number) < t.PartitionCount() {
		return nil, kerr.NotLeaderForPartition
	}
	return nil, kerr.UnknownTopicOrPartition
}

func activeProducer(state *producer.State) kmsg.DescribeProducersResponseTopicPartitionActiveProducer {
	a := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
	a.ProducerID, a.ProducerEpoch = state.ID, int32(state.Epoch)
	a.LastSequence, a.LastTimestamp = state.LastSequence(), state.LastTimestampMillis
	a.CoordinatorEpoch, a.CurrentTxnStartOffset = state.CoordinatorEpoch, state.TxnFirstOffset
	return a
}
