package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/security"
)

// AlterShareGroupOffsets, key 91, version 0 (KIP-932). Kafka: KafkaApis.handleAlterShareGroupOffsetsRequest,
// GroupCoordinatorService.alterShareGroupOffsets.
//
// The group must have no members; it is made where there is none. Its state on these partitions begins anew.
func alterShareGroupOffsets(s *Services, c *Call, r *kmsg.AlterShareGroupOffsetsRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.AlterShareGroupOffsetsResponse)
	refuse := func(fault *kerr.Error) kmsg.Response {
		answer.ErrorCode, answer.ErrorMessage, answer.Topics = fault.Code, shareGroupMessage(fault, r.GroupID), nil
		return answer
	}
	switch {
	case !s.shareGroupsEnabled():
		return refuse(kerr.UnsupportedVersion)
	case !s.allowedOnGroup(c, security.OperationRead, r.GroupID):
		return refuse(kerr.GroupAuthorizationFailed)
	case r.GroupID == "":
		return refuse(kerr.InvalidGroupID)
	}
	type place struct{ topic, partition int }
	var states []group.ShareState
	var places []place
	for i, t := range r.Topics {
		told := kmsg.NewAlterShareGroupOffsetsResponseTopic()
		told.Topic = t.Topic
		topic := s.Metadata.Image().Topic(c.Identity.Tenant, t.Topic)
		allowed := s.Allowed(c, security.OperationRead, security.ResourceTopic, t.Topic)
		if topic != nil && allowed {
			told.TopicID = topic.ID
		}
		for j, p := range t.Partitions {
			x := kmsg.NewAlterShareGroupOffsetsResponseTopicPartition()
			x.Partition = p.Partition
			var fault *kerr.Error
			switch {
			case !allowed:
				fault = kerr.TopicAuthorizationFailed
			case topic == nil || topic.Partition(p.Partition) == nil:
				fault = kerr.UnknownTopicOrPartition
			default:
				states = append(states, group.ShareState{TopicID: topic.ID, Topic: t.Topic, Partition: p.Partition, Start: p.StartOffset})
				places = append(places, place{i, j})
			}
			if fault != nil {
				x.ErrorCode, x.ErrorMessage = fault.Code, &fault.Description
			}
			told.Partitions = append(told.Partitions, x)
		}
		answer.Topics = append(answer.Topics, told)
	}
	ctx, cancel := context.WithTimeout(c.Context, shareOffsetsTimeout)
	defer cancel()
	errs, fault := s.Groups.AlterShareGroupOffsets(ctx, groupCaller(c), r.GroupID, states)
	if fault != nil {
		return refuse(fault)
	}
	for i, err := range errs {
		x := &answer.Topics[places[i].topic].Partitions[places[i].partition]
		x.ErrorCode, x.ErrorMessage = s.outcome(err)
	}
	return answer
}
