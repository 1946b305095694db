package api

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/security"
)

// ListGroups, key 16, versions 0 to 5. Kafka: KafkaApis.handleListGroupsRequest, GroupMetadataManager.listGroups.
func listGroups(s *Services, c *Call, r *kmsg.ListGroupsRequest) kmsg.Response {
	answer := s.Groups.ListGroups(c.Context, groupCaller(c), r)
	if !s.allowedOnCluster(c, security.OperationDescribe) {
		answer.Groups = slices.DeleteFunc(answer.Groups, func(g kmsg.ListGroupsResponseGroup) bool {
			return !s.allowedOnGroup(c, security.OperationDescribe, g.Group)
		})
	}
	return answer
}
