package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/security"
)

// StreamsGroupDescribe, key 89, version 0 (KIP-1071). Kafka: KafkaApis.handleStreamsGroupDescribe.
//
// Groups that the caller may not see come first, as in Kafka. A group with topics that the caller may not see is refused as a
// whole.
func streamsGroupDescribe(s *Services, c *Call, r *kmsg.StreamsGroupDescribeRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.StreamsGroupDescribeResponse)
	refuse := func(id string, err *kerr.Error, message *string) {
		g := kmsg.NewStreamsGroupDescribeResponseGroup()
		g.Group, g.ErrorCode, g.ErrorMessage = id, err.Code, message
		answer.Groups = append(answer.Groups, g)
	}
	var ask []string
	enabled := s.streamsGroupsEnabled()
	for _, id := range r.Groups {
		switch {
		case !enabled:
			refuse(id, kerr.UnsupportedVersion, nil)
		case !s.allowedOnGroup(c, security.OperationDescribe, id):
			refuse(id, kerr.GroupAuthorizationFailed, nil)
		case id == "":
			refuse(id, kerr.InvalidGroupID, nil)
		default:
			ask = append(ask, id)
		}
	}
	for _, g := range s.Groups.StreamsGroupDescribe(c.Context, groupCaller(c), ask) {
		if g.ErrorCode == 0 && !s.seesTopology(c, g.Topology) {
			message := "The described group uses topics that the client is not authorized to describe."
			refuse(g.Group, kerr.TopicAuthorizationFailed, &message)
			continue
		}
		if r.IncludeAuthorizedOperations && g.ErrorCode == 0 {
			g.AuthorizedOperations = s.authorizedOperations(c, security.ResourceGroup, g.Group)
		}
		answer.Groups = append(answer.Groups, g)
	}
	return answer
}

func (s *Services) seesTopology(c *Call, t *kmsg.StreamsGroupDescribeResponseGroupTopology) bool {
	if t == nil {
		return true
	}
	sees := func(name string) bool { return s.Allowed(c, security.OperationDescribe, security.ResourceTopic, name) }
	for _, sub := range t.Subtopologies {
		for _, names := range [][]string{sub.SourceTopics, sub.RepartitionSinkTopics} {
			for _, name := range names {
				if !sees(name) {
					return false
				}
			}
		}
		for _, topics := range [][]kmsg.TopicInfo{sub.RepartitionSourceTopics, sub.StateChangelogTopics} {
			for _, topic := range topics {
				if !sees(topic.Topic) {
					return false
				}
			}
		}
	}
	return true
}
