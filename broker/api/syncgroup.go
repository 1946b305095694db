package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/security"
)

// SyncGroup, key 14, versions 0 to 5. Kafka: GroupMetadataManager.classicGroupSync.
//
// Deviation: a member that is removed while it waits gets UNKNOWN_MEMBER_ID; in Kafka it gets no answer.
func syncGroup(s *Services, c *Call, r *kmsg.SyncGroupRequest) kmsg.Response {
	if !s.allowedOnGroup(c, security.OperationRead, r.Group) {
		answer := r.ResponseKind().(*kmsg.SyncGroupResponse)
		answer.ErrorCode = kerr.GroupAuthorizationFailed.Code
		return answer
	}
	return s.Groups.SyncGroup(c.Context, groupCaller(c), r)
}
