package api

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/security"
)

// CreateTopics, key 19, versions 2 to 7. Kafka: ControllerApis.createTopics, ReplicationControlManager.createTopics.
//
// A name that comes twice is refused once. From version 5 on the answer shows the topic's settings, from 7 on its id.
//
// Deviations: answers are in the order of the request (Kafka's are in no order); a timeout of 0 or less means 30 seconds
// (Kafka may answer REQUEST_TIMED_OUT for a topic that it then creates).
func createTopics(s *Services, c *Call, r *kmsg.CreateTopicsRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.CreateTopicsResponse)
	var wanted []controller.NewTopic
	var places []int // of wanted in the answer
	for _, t := range onceByName(r.Topics, func(t *kmsg.CreateTopicsRequestTopic) string { return t.Topic }) {
		topic := kmsg.NewCreateTopicsResponseTopic()
		topic.Topic, topic.Configs = t.first.Topic, []kmsg.CreateTopicsResponseTopicConfig{}
		fault := createTopicFault(s, c, t)
		topic.ErrorCode, topic.ErrorMessage = s.outcome(fault)
		if fault == nil {
			wanted = append(wanted, newTopicOf(t.first))
			places = append(places, len(answer.Topics))
		}
		answer.Topics = append(answer.Topics, topic)
	}
	if len(wanted) == 0 {
		return answer
	}
	ctx, cancel := requestContext(c, r.TimeoutMillis)
	defer cancel()
	for n, created := range s.Metadata.CreateTopics(ctx, c.Identity.Tenant, wanted, r.ValidateOnly) {
		s.showCreated(c, &answer.Topics[places[n]], created)
	}
	return answer
}

func createTopicFault(s *Services, c *Call, t named[kmsg.CreateTopicsRequestTopic]) error {
	name := t.first.Topic
	switch {
	case t.twice:
		return refuse(kerr.InvalidRequest, "Duplicate topic name.")
	case name == clusterMetadataTopic:
		return refuse(kerr.InvalidRequest, "Creation of internal topic "+clusterMetadataTopic+" is prohibited.")
	case !s.allowedOnCluster(c, security.OperationCreate) && !s.Allowed(c, security.OperationCreate, security.ResourceTopic, name):
		return refuse(kerr.TopicAuthorizationFailed, "Authorization failed.")
	}
	return nil
}

func newTopicOf(t *kmsg.CreateTopicsRequestTopic) controller.NewTopic {
	topic := controller.NewTopic{Name: t.Topic, PartitionCount: t.NumPartitions, ReplicationFactor: t.ReplicationFactor}
	for _, a := range t.ReplicaAssignment {
		topic.Assignments = append(topic.Assignments, controller.Assignment{Partition: a.Partition, Replicas: a.Replicas})
	}
	if len(t.Configs) > 0 {
		topic.Configs = make(map[string]*string, len(t.Configs))
	}
	for _, setting := range t.Configs {
		topic.Configs[setting.Name] = setting.Value
	}
	return topic
}

func (s *Services) showCreated(c *Call, topic *kmsg.CreateTopicsResponseTopic, created controller.CreatedTopic) {
	topic.ErrorCode, topic.ErrorMessage = s.outcome(created.Err)
	if created.Err != nil {
		return
	}
	topic.TopicID = created.ID
	if !s.Allowed(c, security.OperationDescribeConfigs, security.ResourceTopic, topic.Topic) {
		topic.ConfigErrorCode = kerr.TopicAuthorizationFailed.Code
		return
	}
	topic.NumPartitions, topic.ReplicationFactor = created.PartitionCount, created.ReplicationFactor
	for _, entry := range created.Config.Entries() {
		topic.Configs = append(topic.Configs, createdConfig(entry))
	}
}

func createdConfig(entry config.Entry) kmsg.CreateTopicsResponseTopicConfig {
	shown := kmsg.NewCreateTopicsResponseTopicConfig()
	shown.Name, shown.Value, shown.ReadOnly = entry.Name, entry.Value, entry.ReadOnly
	shown.Source, shown.IsSensitive = int8(entry.Source), entry.Sensitive()
	return shown
}

// requestContext ends with the connection and with the time that the client gave the request.
func requestContext(c *Call, timeoutMillis int32) (context.Context, context.CancelFunc) {
	if timeoutMillis <= 0 {
		timeoutMillis = 30_000
	}
	return context.WithTimeout(c.Context, time.Duration(timeoutMillis)*time.Millisecond)
}

// named is an element of a request that names things: the first of its name, and whether there are more.
type named[T any] struct {
	first *T
	twice bool
}

// onceByName lists elements once for each name, in the order of the request.
func onceByName[T any](elements []T, name func(*T) string) []named[T] {
	once := make([]named[T], 0, len(elements))
	places := make(map[string]int, len(elements))
	for i := range elements {
		key := name(&elements[i])
		if at, seen := places[key]; seen {
			once[at].twice = true
			continue
		}
		places[key] = len(once)
		once = append(once, named[T]{first: &elements[i]})
	}
	return once
}
