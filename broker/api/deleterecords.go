package api

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/security"
)

// DeleteRecords (key 21), versions 0 to 2.
// Kafka: KafkaApis.handleDeleteRecordsRequest, ReplicaManager.deleteRecords, DelayedDeleteRecords.

// recordDeletion is one partition of a DeleteRecords request.
type recordDeletion struct {
	partition *replica.Partition
	target    int64 // the log start offset that every living replica has to reach
	low       int64
	err       error
}

func deleteRecords(s *Services, c *Call, r *kmsg.DeleteRecordsRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.DeleteRecordsResponse)
	var deletions []recordDeletion
	for _, t := range r.Topics {
		for _, asked := range t.Partitions {
			deletions = append(deletions, s.deletePartitionRecords(c, t.Topic, asked))
		}
	}
	awaitLowWatermarks(c.Context, deletions, time.Duration(r.TimeoutMillis)*time.Millisecond)
	for _, t := range r.Topics {
		topic := kmsg.NewDeleteRecordsResponseTopic()
		topic.Topic = t.Topic
		for _, asked := range t.Partitions {
			p := kmsg.NewDeleteRecordsResponseTopicPartition()
			p.Partition, p.LowWatermark = asked.Partition, deletions[0].low
			p.ErrorCode, _ = protocolError(deletions[0].err)
			topic.Partitions = append(topic.Partitions, p)
			deletions = deletions[1:]
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer
}

func (s *Services) deletePartitionRecords(c *Call, topic string, asked kmsg.DeleteRecordsRequestTopicPartition) recordDeletion {
	if !s.Allowed(c, security.OperationDelete, security.ResourceTopic, topic) {
		return recordDeletion{low: -1, err: kerr.TopicAuthorizationFailed}
	}
	p, kafkaErr := s.Replicas.ByName(c.Identity.Tenant, topic, asked.Partition)
	if kafkaErr != nil {
		return recordDeletion{low: -1, err: kafkaErr}
	}
	if p.Topic.Internal {
		return recordDeletion{low: -1, err: kerr.InvalidTopicException}
	}
	target, low, err := p.DeleteRecords(asked.Offset)
	return recordDeletion{partition: p, target: target, low: low, err: err}
}

// awaitLowWatermarks waits until the followers have deleted, too.
func awaitLowWatermarks(ctx context.Context, deletions []recordDeletion, timeout time.Duration) {
	w := replica.NewWaiter()
	waiting := false
	for i := range deletions {
		if d := &deletions[i]; d.err == nil && d.low < d.target && d.partition.AwaitLowWatermark(d.target, w) {
			waiting = true
		}
	}
	if waiting {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		w.Wait(ctx)
	}
	for i := range deletions {
		d := &deletions[i]
		if d.err != nil || d.low >= d.target {
			continue
		}
		d.partition.ForgetLowWatermark(w)
		if d.err = d.partition.Err(); d.err == nil {
			if d.low = d.partition.LowWatermark(); d.low < d.target {
				d.err = kerr.RequestTimedOut
			}
		}
		if d.err != nil {
			d.low = -1
		}
	}
}
