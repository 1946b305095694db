package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/security"
)

// DeleteShareGroupOffsets, key 92, version 0 (KIP-932). Kafka: KafkaApis.handleDeleteShareGroupOffsetsRequest,
// GroupCoordinatorService.deleteShareGroupOffsets.
//
// The group must have no members.
func deleteShareGroupOffsets(s *Services, c *Call, r *kmsg.DeleteShareGroupOffsetsRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.DeleteShareGroupOffsetsResponse)
	refuse := func(fault *kerr.Error) kmsg.Response {
		answer.ErrorCode, answer.ErrorMessage, answer.Topics = fault.Code, shareGroupMessage(fault, r.GroupID), nil
		return answer
	}
	switch {
	case !s.shareGroupsEnabled():
		return refuse(kerr.UnsupportedVersion)
	case !s.allowedOnGroup(c, security.OperationDelete, r.GroupID):
		return refuse(kerr.GroupAuthorizationFailed)
	case r.GroupID == "":
		return refuse(kerr.InvalidGroupID)
	}
	var topics []group.TopicID
	for _, t := range r.Topics {
		told := kmsg.NewDeleteShareGroupOffsetsResponseTopic()
		told.Topic = t.Topic
		var fault *kerr.Error
		switch topic := s.Metadata.Image().Topic(c.Identity.Tenant, t.Topic); {
		case !s.Allowed(c, security.OperationRead, security.ResourceTopic, t.Topic):
			fault = kerr.TopicAuthorizationFailed
		case topic == nil:
			fault = kerr.UnknownTopicOrPartition
		default:
			told.TopicID = topic.ID
			topics = append(topics, topic.ID)
		}
		if fault != nil {
			told.ErrorCode, told.ErrorMessage = fault.Code, &fault.Description
		}
		answer.Topics = append(answer.Topics, told)
	}
	ctx, cancel := context.WithTimeout(c.Context, shareOffsetsTimeout)
	defer cancel()
	faults, fault := s.Groups.DeleteShareGroupOffsets(ctx, groupCaller(c), r.GroupID, topics)
	if fault != nil {
		return refuse(fault)
	}
	for i := range answer.Topics {
		if t := &answer.Topics[i]; t.ErrorCode == 0 {
			t.ErrorCode, t.ErrorMessage = s.outcome(faults[t.TopicID])
		}
	}
	return answer
}
