package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/security"
)

// LeaveGroup, key 13, versions 0 to 5. Kafka: GroupMetadataManager.classicGroupLeave.
//
// Deviation: it is passed on to where the coordinator has moved, and waits for a coordinator that loads (passedon.go).
func leaveGroup(s *Services, c *Call, r *kmsg.LeaveGroupRequest) kmsg.Response {
	if !s.allowedOnGroup(c, security.OperationRead, r.Group) {
		answer := r.ResponseKind().(*kmsg.LeaveGroupResponse)
		answer.ErrorCode = kerr.GroupAuthorizationFailed.Code
		return answer
	}
	return s.heardOf(c, r.Group, r, func() kmsg.Response { return s.Groups.LeaveGroup(c.Context, groupCaller(c), r) })
}
