package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/security"
)

// Heartbeat, key 12, versions 0 to 4. Kafka: GroupMetadataManager.classicGroupHeartbeat.
func heartbeat(s *Services, c *Call, r *kmsg.HeartbeatRequest) kmsg.Response {
	if !s.allowedOnGroup(c, security.OperationRead, r.Group) {
		answer := r.ResponseKind().(*kmsg.HeartbeatResponse)
		answer.ErrorCode = kerr.GroupAuthorizationFailed.Code
		return answer
	}
	return s.Groups.Heartbeat(c.Context, groupCaller(c), r)
}
