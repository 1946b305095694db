package api

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/security"
)

// ShareGroupHeartbeat, key 76, version 1 (KIP-932). Kafka: KafkaApis.handleShareGroupHeartbeat,
// GroupMetadataManager.shareGroupHeartbeat.
//
// Deviation: a member that waits for its first partitions is told a short heartbeat interval.
func shareGroupHeartbeat(s *Services, c *Call, r *kmsg.ShareGroupHeartbeatRequest) kmsg.Response {
	refuse := func(err *kerr.Error, message string) kmsg.Response {
		answer := r.ResponseKind().(*kmsg.ShareGroupHeartbeatResponse)
		answer.ErrorCode, answer.ErrorMessage = err.Code, &message
		return answer
	}
	switch {
	case !s.shareGroupsEnabled():
		return refuse(kerr.UnsupportedVersion, kerr.UnsupportedVersion.Description)
	case !s.allowedOnGroup(c, security.OperationRead, r.GroupID):
		return refuse(kerr.GroupAuthorizationFailed, kerr.GroupAuthorizationFailed.Description)
	}
	if r.MemberID == "" { // as in Kafka, the only refusal without words
		answer := r.ResponseKind().(*kmsg.ShareGroupHeartbeatResponse)
		answer.ErrorCode = kerr.InvalidRequest.Code
		return answer
	}
	for _, topic := range r.SubscribedTopicNames {
		if !s.Allowed(c, security.OperationDescribe, security.ResourceTopic, topic) {
			return refuse(kerr.TopicAuthorizationFailed, fmt.Sprintf("Not authorized to describe topic %s.", topic))
		}
	}
	return s.Groups.ShareGroupHeartbeat(c.Context, groupCaller(c), r)
}
