package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/security"
)

// DescribeGroups, key 15, versions 0 to 6. Kafka: KafkaApis.handleDescribeGroupsRequest, GroupMetadataManager.describeGroups.
//
// A group that does not exist is "Dead", from version 6 on with GROUP_ID_NOT_FOUND. Groups that the caller may not see
// come first, as in Kafka.
//
// Deviation: the others are in the order of the request.
func describeGroups(s *Services, c *Call, r *kmsg.DescribeGroupsRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.DescribeGroupsResponse)
	var ask []string
	for _, id := range r.Groups {
		if s.allowedOnGroup(c, security.OperationDescribe, id) {
			ask = append(ask, id)
			continue
		}
		g := kmsg.NewDescribeGroupsResponseGroup()
		g.Group, g.ErrorCode = id, kerr.GroupAuthorizationFailed.Code
		answer.Groups = append(answer.Groups, g)
	}
	for _, g := range s.Groups.DescribeGroups(c.Context, groupCaller(c), ask, r.Version) {
		if r.IncludeAuthorizedOperations && g.ErrorCode == 0 {
			g.AuthorizedOperations = s.authorizedOperations(c, security.ResourceGroup, g.Group)
		}
		answer.Groups = append(answer.Groups, g)
	}
	return answer
}
