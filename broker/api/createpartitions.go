package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/security"
)

// CreatePartitions, key 37, versions 0 to 3. Kafka: ControllerApis.createPartitions,
// ReplicationControlManager.createPartitions.
//
// Deviation: answers are in the order of the request; a timeout of 0 or less means 30 seconds.
func createPartitions(s *Services, c *Call, r *kmsg.CreatePartitionsRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.CreatePartitionsResponse)
	i := s.Metadata.Image()
	var wanted []controller.MorePartitions
	var places []int // of wanted in the answer
	for _, t := range onceByName(r.Topics, func(t *kmsg.CreatePartitionsRequestTopic) string { return t.Topic }) {
		topic := kmsg.CreatePartitionsResponseTopic{Topic: t.first.Topic}
		existing := i.Topic(c.Identity.Tenant, t.first.Topic)
		switch {
		case t.twice:
			topic.ErrorCode, topic.ErrorMessage = s.outcome(refuse(kerr.InvalidRequest, "Duplicate topic name."))
		case !s.Allowed(c, security.OperationAlter, security.ResourceTopic, t.first.Topic):
			topic.ErrorCode = kerr.TopicAuthorizationFailed.Code
		case existing == nil:
			topic.ErrorCode = kerr.UnknownTopicOrPartition.Code
		default:
			wanted = append(wanted, controller.MorePartitions{TopicID: existing.ID, Count: t.first.Count, Assignments: assignmentsOf(t.first)})
			places = append(places, len(answer.Topics))
		}
		answer.Topics = append(answer.Topics, topic)
	}
	if len(wanted) == 0 {
		return answer
	}
	ctx, cancel := requestContext(c, r.TimeoutMillis)
	defer cancel()
	for n, err := range s.Metadata.CreatePartitions(ctx, wanted, r.ValidateOnly) {
		topic := &answer.Topics[places[n]]
		topic.ErrorCode, topic.ErrorMessage = s.outcome(err)
	}
	return answer
}

// assignmentsOf is nil where the request leaves the placement to the controller, which an empty list is not.
func assignmentsOf(t *kmsg.CreatePartitionsRequestTopic) [][]int32 {
	if t.Assignment == nil {
		return nil
	}
	assignments := make([][]int32, len(t.Assignment))
	for i, a := range t.Assignment {
		assignments[i] = a.Replicas
	}
	return assignments
}
