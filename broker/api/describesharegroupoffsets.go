package api

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/broker/share/state"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// shareOffsetsTimeout bounds how long share coordinators and leaders of partitions are asked where a group is.
const shareOffsetsTimeout = 5 * time.Second

// DescribeShareGroupOffsets, key 90, versions 0 to 1 (KIP-932, and the lag of KIP-1226). Kafka:
// KafkaApis.handleDescribeShareGroupOffsetsRequest, GroupCoordinatorService.describeShareGroupOffsets.
//
// A partition without a state, or that does not exist, has the start offset -1 and no error. The lag is -1 where the leader
// of the partition did not tell its end in time.
func describeShareGroupOffsets(s *Services, c *Call, r *kmsg.DescribeShareGroupOffsetsRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.DescribeShareGroupOffsetsResponse)
	ctx, cancel := context.WithTimeout(c.Context, shareOffsetsTimeout)
	defer cancel()
	for _, asked := range r.Groups {
		g := kmsg.NewDescribeShareGroupOffsetsResponseGroup()
		g.GroupID = asked.GroupID
		if fault := s.describeShareOffsets(ctx, c, &asked, &g); fault != nil {
			g.ErrorCode, g.ErrorMessage = fault.Code, &fault.Description
		}
		answer.Groups = append(answer.Groups, g)
	}
	return answer
}

func (s *Services) describeShareOffsets(ctx context.Context, c *Call, asked *kmsg.DescribeShareGroupOffsetsRequestGroup, g *kmsg.DescribeShareGroupOffsetsResponseGroup) *kerr.Error {
	switch {
	case !s.shareGroupsEnabled():
		return kerr.UnsupportedVersion
	case !s.allowedOnGroup(c, security.OperationDescribe, asked.GroupID):
		return kerr.GroupAuthorizationFailed
	}
	known, fault := s.Groups.SharePartitions(ctx, groupCaller(c), asked.GroupID)
	if fault != nil && fault != kerr.GroupIDNotFound { // a group that is not there has no state, which is no error
		return fault
	}
	has := map[group.SharePartition]bool{}
	for _, p := range known {
		has[p] = true
	}
	if asked.Topics == nil {
		s.describeAllShares(c, known, g)
	} else {
		s.describeSomeShares(c, asked, has, g)
	}
	s.fillShareOffsets(ctx, c, asked.GroupID, has, g)
	return nil
}

// describeAllShares names what the group has a state for and the caller may see.
func (s *Services) describeAllShares(c *Call, known []group.SharePartition, g *kmsg.DescribeShareGroupOffsetsResponseGroup) {
	for _, p := range known {
		if !s.Allowed(c, security.OperationDescribe, security.ResourceTopic, p.Topic) {
			continue
		}
		if n := len(g.Topics); n == 0 || g.Topics[n-1].TopicID != p.TopicID {
			g.Topics = append(g.Topics, kmsg.DescribeShareGroupOffsetsResponseGroupTopic{Topic: p.Topic, TopicID: p.TopicID})
		}
		t := &g.Topics[len(g.Topics)-1]
		t.Partitions = append(t.Partitions, unknownShareOffset(p.Partition))
	}
}

func (s *Services) describeSomeShares(c *Call, asked *kmsg.DescribeShareGroupOffsetsRequestGroup, has map[group.SharePartition]bool, g *kmsg.DescribeShareGroupOffsetsResponseGroup) {
	for _, t := range asked.Topics {
		told := kmsg.DescribeShareGroupOffsetsResponseGroupTopic{Topic: t.Topic}
		allowed := s.Allowed(c, security.OperationDescribe, security.ResourceTopic, t.Topic)
		if topic := s.Metadata.Image().Topic(c.Identity.Tenant, t.Topic); topic != nil && allowed {
			told.TopicID = topic.ID
		}
		for _, p := range t.Partitions {
			x := unknownShareOffset(p)
			if !allowed {
				x.ErrorCode, x.ErrorMessage = kerr.TopicAuthorizationFailed.Code, &kerr.TopicAuthorizationFailed.Description
			}
			told.Partitions = append(told.Partitions, x)
		}
		g.Topics = append(g.Topics, told)
	}
}

func unknownShareOffset(partition int32) kmsg.DescribeShareGroupOffsetsResponseGroupTopicPartition {
	x := kmsg.NewDescribeShareGroupOffsetsResponseGroupTopicPartition()
	x.Partition, x.StartOffset, x.Lag = partition, -1, -1
	return x
}

// fillShareOffsets asks share coordinators for the partitions that have a state.
func (s *Services) fillShareOffsets(ctx context.Context, c *Call, id string, has map[group.SharePartition]bool, g *kmsg.DescribeShareGroupOffsetsResponseGroup) {
	var keys []state.Key
	var told []*kmsg.DescribeShareGroupOffsetsResponseGroupTopicPartition
	name := state.GroupName(c.Identity.Tenant, id)
	for i := range g.Topics {
		t := &g.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			if p.ErrorCode == 0 && has[group.SharePartition{TopicID: t.TopicID, Topic: t.Topic, Partition: p.Partition}] {
				keys, told = append(keys, state.Key{Group: name, Topic: t.TopicID, Partition: p.Partition}), append(told, p)
			}
		}
	}
	summaries, errs := s.ShareClient.Summarize(ctx, keys)
	for i, p := range told {
		if errs[i] != nil {
			p.ErrorCode, p.ErrorMessage = s.outcome(errs[i])
			continue
		}
		p.StartOffset, p.LeaderEpoch = summaries[i].Start, summaries[i].LeaderEpoch
		if through := summaries[i].Through; p.StartOffset >= 0 && through >= 0 {
			if end, ok := s.endOffset(ctx, image.TopicID(keys[i].Topic), keys[i].Partition); ok {
				p.Lag = max(end-p.StartOffset-int64(through), 0)
			}
		}
	}
}

// endOffset is the high watermark of a partition, wherever it is led.
func (s *Services) endOffset(ctx context.Context, id image.TopicID, partition int32) (offset int64, ok bool) {
	topic := s.Metadata.Image().TopicByID(id)
	if topic == nil || topic.Partition(partition) == nil {
		return 0, false
	}
	leader := topic.Partition(partition).Leader
	if leader == s.NodeID {
		p, fault := s.Replicas.Partition(id, partition)
		if fault != nil || !p.HighWatermarkKnown() {
			return 0, false
		}
		return p.HighWatermark(), true
	}
	if s.Peers == nil || leader < 0 || topic.Tenant != security.DefaultTenant {
		return 0, false
	}
	return s.askEndOffset(ctx, leader, topic.Name, partition)
}

func (s *Services) askEndOffset(ctx context.Context, leader int32, topic string, partition int32) (offset int64, ok bool) {
	request := kmsg.NewPtrListOffsetsRequest()
	request.Version, request.ReplicaID = 7, -1
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.CurrentLeaderEpoch, p.Timestamp = partition, -1, timestampLatest
	request.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	answer, err := s.Peers.Do(ctx, leader, request)
	if err != nil {
		return 0, false
	}
	topics := answer.(*kmsg.ListOffsetsResponse).Topics
	if len(topics) != 1 || len(topics[0].Partitions) != 1 || topics[0].Partitions[0].ErrorCode != 0 {
		return 0, false
	}
	return topics[0].Partitions[0].Offset, true
}
