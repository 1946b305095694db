package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/security"
)

// ConsumerGroupDescribe, key 69, versions 0 and 1 (KIP-848). Kafka: KafkaApis.handleConsumerGroupDescribe,
// ConsumerGroup.asDescribedGroup.
//
// Groups that the caller may not see come first, as in Kafka. A group with a topic that it may not see is refused.
//
// Deviation: members are in the order of their ids.
func consumerGroupDescribe(s *Services, c *Call, r *kmsg.ConsumerGroupDescribeRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.ConsumerGroupDescribeResponse)
	var ask []string
	for _, id := range r.Groups {
		fault := kerr.UnsupportedVersion
		if s.speaksConsumerProtocol() {
			fault = kerr.GroupAuthorizationFailed
			if s.allowedOnGroup(c, security.OperationDescribe, id) {
				ask = append(ask, id)
				continue
			}
		}
		g := kmsg.NewConsumerGroupDescribeResponseGroup()
		g.Group, g.ErrorCode = id, fault.Code
		answer.Groups = append(answer.Groups, g)
	}
	for _, g := range s.Groups.ConsumerGroupDescribe(c.Context, groupCaller(c), ask) {
		if g.ErrorCode == 0 && !s.maySeeMembers(c, &g) {
			message := "The group has described topic(s) that the client is not authorized to describe."
			g.ErrorCode, g.ErrorMessage, g.Members = kerr.TopicAuthorizationFailed.Code, &message, nil
		}
		if r.IncludeAuthorizedOperations && g.ErrorCode == 0 {
			g.AuthorizedOperations = s.authorizedOperations(c, security.ResourceGroup, g.Group)
		}
		answer.Groups = append(answer.Groups, g)
	}
	return answer
}

// maySeeMembers reports whether the caller may see every topic that members have or subscribe to.
func (s *Services) maySeeMembers(c *Call, g *kmsg.ConsumerGroupDescribeResponseGroup) bool {
	seen := make(map[string]bool)
	for _, m := range g.Members {
		for _, t := range m.SubscribedTopics {
			seen[t] = true
		}
		for _, t := range m.Assignment.TopicPartitions {
			seen[t.Topic] = true
		}
		for _, t := range m.TargetAssignment.TopicPartitions {
			seen[t.Topic] = true
		}
	}
	for topic := range seen {
		if !s.Allowed(c, security.OperationDescribe, security.ResourceTopic, topic) {
			return false
		}
	}
	return true
}
