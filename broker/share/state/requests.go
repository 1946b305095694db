package state

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/share/delivery"
)

// outcome is a result as answers have it.
func (r *result) outcome() (code int16, message *string) {
	if r.fault == nil {
		return 0, nil
	}
	text := r.message
	if text == "" {
		text = r.fault.Description
	}
	return r.fault.Code, &text
}

// InitializeShareGroupState makes the states of share partitions, or resets them.
func (s *Service) InitializeShareGroupState(ctx context.Context, r *kmsg.InitializeShareGroupStateRequest) *kmsg.InitializeShareGroupStateResponse {
	var items []item
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			items = append(items, item{key: Key{r.GroupID, t.TopicID, p.Partition}, stateEpoch: p.StateEpoch, leaderEpoch: -1, start: p.StartOffset})
		}
	}
	results := s.ask(ctx, items, true, func(i []item) any { return initializeRequest(i) })
	answer := r.ResponseKind().(*kmsg.InitializeShareGroupStateResponse)
	for _, t := range r.Topics {
		topic := kmsg.NewInitializeShareGroupStateResponseTopic()
		topic.TopicID = t.TopicID
		for _, p := range t.Partitions {
			told := kmsg.NewInitializeShareGroupStateResponseTopicPartition()
			told.Partition = p.Partition
			told.ErrorCode, told.ErrorMessage = results[0].outcome()
			results = results[1:]
			topic.Partitions = append(topic.Partitions, told)
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer
}

// WriteShareGroupState notes what the leaders of partitions have decided.
func (s *Service) WriteShareGroupState(ctx context.Context, r *kmsg.WriteShareGroupStateRequest) *kmsg.WriteShareGroupStateResponse {
	var items []item
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			i := item{key: Key{r.GroupID, t.TopicID, p.Partition}, stateEpoch: p.StateEpoch, leaderEpoch: p.LeaderEpoch, start: p.StartOffset, through: -1}
			if r.Version >= 1 {
				i.through = p.DeliveryCompleteCount
			}
			for _, b := range p.StateBatches {
				i.batches = append(i.batches, delivery.Batch{First: b.FirstOffset, Last: b.LastOffset, State: delivery.State(b.DeliveryState), Count: b.DeliveryCount})
			}
			items = append(items, i)
		}
	}
	results := s.ask(ctx, items, false, func(i []item) any { return writeRequest(i) })
	answer := r.ResponseKind().(*kmsg.WriteShareGroupStateResponse)
	for _, t := range r.Topics {
		topic := kmsg.NewWriteShareGroupStateResponseTopic()
		topic.TopicID = t.TopicID
		for _, p := range t.Partitions {
			told := kmsg.NewWriteShareGroupStateResponseTopicPartition()
			told.Partition = p.Partition
			told.ErrorCode, told.ErrorMessage = results[0].outcome()
			results = results[1:]
			topic.Partitions = append(topic.Partitions, told)
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer
}

// ReadShareGroupState tells a new leader where its share partitions are, and fences the leaders before it.
func (s *Service) ReadShareGroupState(ctx context.Context, r *kmsg.ReadShareGroupStateRequest) *kmsg.ReadShareGroupStateResponse {
	var items []item
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			items = append(items, item{key: Key{r.GroupID, t.TopicID, p.Partition}, leaderEpoch: p.LeaderEpoch})
		}
	}
	results := s.ask(ctx, items, false, func(i []item) any { return readRequest(i) })
	answer := r.ResponseKind().(*kmsg.ReadShareGroupStateResponse)
	for _, t := range r.Topics {
		topic := kmsg.NewReadShareGroupStateResponseTopic()
		topic.TopicID = t.TopicID
		for _, p := range t.Partitions {
			topic.Partitions = append(topic.Partitions, readAnswer(p.Partition, &results[0]))
			results = results[1:]
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer
}

func readAnswer(partition int32, r *result) kmsg.ReadShareGroupStateResponseTopicPartition {
	told := kmsg.NewReadShareGroupStateResponseTopicPartition()
	told.Partition = partition
	if told.ErrorCode, told.ErrorMessage = r.outcome(); r.state == nil {
		return told
	}
	told.StateEpoch, told.StartOffset = r.state.stateEpoch, r.state.start
	for _, b := range r.state.batches {
		batch := kmsg.NewReadShareGroupStateResponseTopicPartitionStateBatch()
		batch.FirstOffset, batch.LastOffset, batch.DeliveryState, batch.DeliveryCount = b.First, b.Last, int8(b.State), b.Count
		told.StateBatches = append(told.StateBatches, batch)
	}
	return told
}

// ReadShareGroupStateSummary tells where share partitions are, to people.
func (s *Service) ReadShareGroupStateSummary(ctx context.Context, r *kmsg.ReadShareGroupStateSummaryRequest) *kmsg.ReadShareGroupStateSummaryResponse {
	var items []item
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			items = append(items, item{key: Key{r.GroupID, t.TopicID, p.Partition}, leaderEpoch: p.LeaderEpoch})
		}
	}
	results := s.ask(ctx, items, true, func(i []item) any { return summaryRequest(i) })
	answer := r.ResponseKind().(*kmsg.ReadShareGroupStateSummaryResponse)
	for _, t := range r.Topics {
		topic := kmsg.NewReadShareGroupStateSummaryResponseTopic()
		topic.TopicID = t.TopicID
		for _, p := range t.Partitions {
			told := kmsg.NewReadShareGroupStateSummaryResponseTopicPartition()
			told.Partition, told.StartOffset, told.DeliveryCompleteCount = p.Partition, -1, -1
			told.ErrorCode, told.ErrorMessage = results[0].outcome()
			if told.ErrorCode != 0 {
				told.StartOffset = 0
			}
			if state := results[0].state; state != nil {
				told.StateEpoch, told.LeaderEpoch, told.StartOffset, told.DeliveryCompleteCount = state.stateEpoch, state.leaderEpoch, state.start, state.through
			}
			results = results[1:]
			topic.Partitions = append(topic.Partitions, told)
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer
}

// DeleteShareGroupState forgets share partitions.
func (s *Service) DeleteShareGroupState(ctx context.Context, r *kmsg.DeleteShareGroupStateRequest) *kmsg.DeleteShareGroupStateResponse {
	var items []item
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			items = append(items, item{key: Key{r.GroupID, t.TopicID, p.Partition}})
		}
	}
	results := s.ask(ctx, items, true, func(i []item) any { return deleteRequest(i) })
	answer := r.ResponseKind().(*kmsg.DeleteShareGroupStateResponse)
	for _, t := range r.Topics {
		topic := kmsg.NewDeleteShareGroupStateResponseTopic()
		topic.TopicID = t.TopicID
		for _, p := range t.Partitions {
			told := kmsg.NewDeleteShareGroupStateResponseTopicPartition()
			told.Partition = p.Partition
			told.ErrorCode, told.ErrorMessage = results[0].outcome()
			results = results[1:]
			topic.Partitions = append(topic.Partitions, told)
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer
}
