package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/security"
)

// ShareGroupDescribe, key 77, version 1 (KIP-932). Kafka: KafkaApis.handleShareGroupDescribe.
//
// Groups that the caller may not see come first, as in Kafka. A group with a member whose topics the caller may not see is
// refused as a whole.
func shareGroupDescribe(s *Services, c *Call, r *kmsg.ShareGroupDescribeRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.ShareGroupDescribeResponse)
	var ask []string
	for _, id := range r.GroupIDs {
		fault := kerr.GroupAuthorizationFailed
		if !s.shareGroupsEnabled() {
			fault = kerr.UnsupportedVersion
		} else if s.allowedOnGroup(c, security.OperationDescribe, id) {
			ask = append(ask, id)
			continue
		}
		g := kmsg.NewShareGroupDescribeResponseGroup()
		g.GroupID, g.ErrorCode, g.ErrorMessage = id, fault.Code, &fault.Description
		answer.Groups = append(answer.Groups, g)
	}
	for _, g := range s.Groups.ShareGroupDescribe(c.Context, groupCaller(c), ask) {
		if g.ErrorCode == 0 && !s.seesShareTopics(c, &g) {
			hidden := kmsg.NewShareGroupDescribeResponseGroup()
			message := "The group has described topic(s) that the client is not authorized to describe."
			hidden.GroupID, hidden.ErrorCode, hidden.ErrorMessage = g.GroupID, kerr.TopicAuthorizationFailed.Code, &message
			g = hidden
		}
		if r.IncludeAuthorizedOperations && g.ErrorCode == 0 {
			g.AuthorizedOperations = s.authorizedOperations(c, security.ResourceGroup, g.GroupID)
		}
		answer.Groups = append(answer.Groups, g)
	}
	return answer
}

func (s *Services) seesShareTopics(c *Call, g *kmsg.ShareGroupDescribeResponseGroup) bool {
	for _, m := range g.Members {
		for _, topic := range m.SubscribedTopicNames {
			if !s.Allowed(c, security.OperationDescribe, security.ResourceTopic, topic) {
				return false
			}
		}
	}
	return true
}
