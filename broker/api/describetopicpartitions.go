package api

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

const defaultPartitionLimit = 2000 // max.request.partition.size.limit

// DescribeTopicPartitions, key 75, version 0 (KIP-966). Kafka: DescribeTopicPartitionsRequestHandler, KRaftMetadataCache.
//
// Topics come by name, as many partitions as the smaller of the request's limit and max.request.partition.size.limit
// allows; the cursor says where the next answer goes on. No topics in the request are all.
//
// Deviation: topic names are ordered by their bytes (Java's order of UTF-16 is the same for names that topics can have).
func describeTopicPartitions(s *Services, c *Call, r *kmsg.DescribeTopicPartitionsRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
	i := s.Metadata.Image()
	names := topicsToDescribe(c, r, i)
	if !sensibleCursor(r, names) {
		for _, t := range r.Topics {
			answer.Topics = append(answer.Topics, describedTopic(t.Topic, kerr.InvalidRequest.Code))
		}
		return answer
	}
	limit := s.Settings.Broker(i).Int32("max.request.partition.size.limit")
	if limit <= 0 {
		limit = defaultPartitionLimit
	}
	page := partitionPage{
		view:      partitionView{version: 6, image: i, reachable: s.nodes(c, i, false)},
		remaining: int(max(min(limit, r.ResponsePartitionLimit), 1)),
		answer:    answer,
	}
	var denied []kmsg.DescribeTopicPartitionsResponseTopic
	for _, name := range names {
		switch {
		case s.Allowed(c, security.OperationDescribe, security.ResourceTopic, name):
			if !page.add(name, i.Topic(c.Identity.Tenant, name), firstPartition(r.Cursor, name)) {
				return s.finishPage(c, answer, denied)
			}
		case len(r.Topics) > 0:
			denied = append(denied, describedTopic(name, kerr.TopicAuthorizationFailed.Code))
		}
	}
	return s.finishPage(c, answer, denied)
}

func (s *Services) finishPage(c *Call, answer *kmsg.DescribeTopicPartitionsResponse, denied []kmsg.DescribeTopicPartitionsResponseTopic) kmsg.Response {
	for t := range answer.Topics {
		answer.Topics[t].AuthorizedOperations = s.topicOperations(c, *answer.Topics[t].Topic)
	}
	answer.Topics = append(answer.Topics, denied...)
	return answer
}

// topicsToDescribe returns the names from the cursor on, in order and each once.
func topicsToDescribe(c *Call, r *kmsg.DescribeTopicPartitionsRequest, i *image.Image) []string {
	var names []string
	from := ""
	if r.Cursor != nil {
		from = r.Cursor.Topic
	}
	if len(r.Topics) == 0 {
		for t := range i.Topics(c.Identity.Tenant) {
			if t.Name >= from {
				names = append(names, t.Name)
			}
		}
		return names
	}
	for _, t := range r.Topics {
		if t.Topic >= from {
			names = append(names, t.Topic)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// sensibleCursor holds that the cursor is one that an answer could have given.
func sensibleCursor(r *kmsg.DescribeTopicPartitionsRequest, names []string) bool {
	if r.Cursor == nil {
		return true
	}
	if _, found := slices.BinarySearch(names, r.Cursor.Topic); len(r.Topics) > 0 && !found {
		return false
	}
	return r.Cursor.Partition >= 0
}

func firstPartition(cursor *kmsg.DescribeTopicPartitionsRequestCursor, name string) int32 {
	if cursor != nil && cursor.Topic == name {
		return cursor.Partition
	}
	return 0
}

func describedTopic(name string, code int16) kmsg.DescribeTopicPartitionsResponseTopic {
	topic := kmsg.NewDescribeTopicPartitionsResponseTopic()
	topic.Topic, topic.ErrorCode, topic.IsInternal = &name, code, controller.IsInternal(name)
	return topic
}

// partitionPage fills one answer up to its limit.
type partitionPage struct {
	view      partitionView
	remaining int
	answer    *kmsg.DescribeTopicPartitionsResponse
}

// add shows a topic from its partition first on; t is nil where there is none. It is false once the page is full, and
// then the cursor is set.
func (p *partitionPage) add(name string, t *image.Topic, first int32) bool {
	if p.remaining == 0 {
		p.stopAt(name, 0)
		return false
	}
	if t == nil {
		p.answer.Topics = append(p.answer.Topics, describedTopic(name, absentTopic(name).ErrorCode))
		return true
	}
	topic := describedTopic(name, 0)
	topic.TopicID, topic.IsInternal = t.ID, t.Internal
	last := int(first) + p.remaining
	for number := int(first); number < min(last, t.PartitionCount()); number++ {
		topic.Partitions = append(topic.Partitions, p.partition(int32(number), t.Partition(int32(number))))
	}
	p.remaining -= len(topic.Partitions)
	p.answer.Topics = append(p.answer.Topics, topic)
	if last < t.PartitionCount() {
		p.stopAt(name, int32(last))
		return false
	}
	return true
}

func (p *partitionPage) stopAt(name string, partition int32) {
	p.answer.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: name, Partition: partition}
}

func (p *partitionPage) partition(number int32, state *image.Partition) kmsg.DescribeTopicPartitionsResponseTopicPartition {
	shown := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
	shown.Partition, shown.LeaderID, shown.LeaderEpoch = number, state.Leader, state.LeaderEpoch
	shown.ErrorCode = p.view.leaderFault(state)
	if shown.ErrorCode != 0 {
		shown.LeaderID = -1
	}
	shown.Replicas, shown.ISR, shown.OfflineReplicas = state.Replicas, state.ISR, p.view.offline(state)
	shown.EligibleLeaderReplicas, shown.LastKnownELR = state.ELR, state.LastKnownELR
	if shown.EligibleLeaderReplicas == nil {
		shown.EligibleLeaderReplicas = []int32{} // null means that the cluster has none of KIP-966
	}
	if shown.LastKnownELR == nil {
		shown.LastKnownELR = []int32{}
	}
	return shown
}
