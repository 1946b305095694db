package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/security"
)

// ElectLeaders, key 43, versions 0 to 2 (KIP-460). Kafka: ControllerApis.handleElectLeaders,
// ReplicationControlManager.electLeaders.
//
// Null topics stand for every partition; then those that need no election are left out. Version 0 knows preferred leaders
// only.
func electLeaders(s *Services, c *Call, r *kmsg.ElectLeadersRequest) kmsg.Response {
	if !s.allowedOnCluster(c, security.OperationAlter) {
		code, message := s.outcome(kerr.ClusterAuthorizationFailed)
		return failedAnswer(r, code, message)
	}
	kind := controller.ElectionType(r.ElectionType)
	if r.Version == 0 {
		kind = controller.PreferredElection
	}
	ctx, cancel := requestContext(c, r.TimeoutMillis)
	defer cancel()
	outcomes, err := s.Metadata.ElectLeaders(ctx, c.Identity.Tenant, kind, electionTopics(r.Topics))
	if err != nil {
		code, message := s.outcome(err)
		return failedAnswer(r, code, message)
	}
	answer := r.ResponseKind().(*kmsg.ElectLeadersResponse)
	answer.Topics = []kmsg.ElectLeadersResponseTopic{}
	for _, outcome := range outcomes {
		partition := kmsg.ElectLeadersResponseTopicPartition{Partition: outcome.Partition}
		partition.ErrorCode, partition.ErrorMessage = s.outcome(outcome.Err)
		if last := len(answer.Topics) - 1; last < 0 || answer.Topics[last].Topic != outcome.Topic {
			answer.Topics = append(answer.Topics, kmsg.ElectLeadersResponseTopic{Topic: outcome.Topic})
		}
		topic := &answer.Topics[len(answer.Topics)-1]
		topic.Partitions = append(topic.Partitions, partition)
	}
	return answer
}

// electionTopics is nil where the request asks for all.
func electionTopics(asked []kmsg.ElectLeadersRequestTopic) []controller.TopicPartitions {
	if asked == nil {
		return nil
	}
	topics := make([]controller.TopicPartitions, len(asked))
	for i, t := range asked {
		topics[i] = controller.TopicPartitions{Topic: t.Topic, Partitions: t.Partitions}
	}
	return topics
}

func failedElections(r *kmsg.ElectLeadersRequest, answer *kmsg.ElectLeadersResponse, code int16, message *string) {
	answer.ErrorCode = code
	answer.Topics = []kmsg.ElectLeadersResponseTopic{}
	for _, t := range r.Topics {
		topic := kmsg.ElectLeadersResponseTopic{Topic: t.Topic}
		for _, number := range t.Partitions {
			topic.Partitions = append(topic.Partitions, kmsg.ElectLeadersResponseTopicPartition{
				Partition: number, ErrorCode: code, ErrorMessage: message,
			})
		}
		answer.Topics = append(answer.Topics, topic)
	}
}
