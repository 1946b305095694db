package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/security"
)

// JoinGroup, key 11, versions 0 to 9. Kafka: GroupMetadataManager.classicGroupJoin.
//
// Deviation: a JoinGroup that replaces another of the same member ends that with REBALANCE_IN_PROGRESS; in Kafka the
// first never gets an answer.
func joinGroup(s *Services, c *Call, r *kmsg.JoinGroupRequest) kmsg.Response {
	if !s.allowedOnGroup(c, security.OperationRead, r.Group) {
		answer := r.ResponseKind().(*kmsg.JoinGroupResponse)
		answer.ErrorCode, answer.Generation = kerr.GroupAuthorizationFailed.Code, -1
		return answer
	}
	return s.Groups.JoinGroup(c.Context, groupCaller(c), r)
}
