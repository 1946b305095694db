package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/security"
)

// DeleteGroups, key 42, versions 0 to 3. Kafka: KafkaApis.handleDeleteGroupsRequest, GroupCoordinatorShard.deleteGroups.
//
// A group that is named twice is answered once.
func deleteGroups(s *Services, c *Call, r *kmsg.DeleteGroupsRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.DeleteGroupsResponse)
	var ask []string
	var refused []kmsg.DeleteGroupsResponseGroup
	for _, id := range onceByName(r.Groups, func(id *string) string { return *id }) {
		if s.allowedOnGroup(c, security.OperationDelete, *id.first) {
			ask = append(ask, *id.first)
			continue
		}
		g := kmsg.NewDeleteGroupsResponseGroup()
		g.Group, g.ErrorCode = *id.first, kerr.GroupAuthorizationFailed.Code
		refused = append(refused, g)
	}
	answer.Groups = append(s.Groups.DeleteGroups(c.Context, groupCaller(c), ask), refused...)
	return answer
}
