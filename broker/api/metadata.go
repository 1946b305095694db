package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// Metadata, key 3, versions 0 to 13. Kafka: KafkaApis.handleTopicMetadataRequest, KRaftMetadataCache.
//
// Null topics (in version 0: none) ask for all. A topic id anywhere in the request makes it a request by id. A name that
// does not exist is created where the client and auto.create.topics.enable allow it.
//
// Deviations: an answer waits a moment for a topic that it has started to create and then shows it; a topic still in
// creation is LEADER_NOT_AVAILABLE (Kafka 4 says UNKNOWN_TOPIC_OR_PARTITION, which some clients give up on), one that
// cannot be created gets the reason. A topic with neither name nor id is INVALID_REQUEST (Kafka: UNKNOWN_SERVER_ERROR).
func topicMetadata(s *Services, c *Call, r *kmsg.MetadataRequest) kmsg.Response {
	if !sensibleMetadata(r) {
		return refusedMetadata(r)
	}
	answer := s.topicMetadata(c, r)
	if !s.confirmed(c, leadersIn(answer)) {
		answer = s.topicMetadata(c, r)
	}
	return answer
}

// topicMetadata answers from the image.
func (s *Services) topicMetadata(c *Call, r *kmsg.MetadataRequest) *kmsg.MetadataResponse {
	answer := r.ResponseKind().(*kmsg.MetadataResponse)
	i := s.Metadata.Image()
	reachable := s.nodes(c, i, false)
	view := partitionView{version: r.Version, image: i, reachable: reachable}
	switch {
	case r.Topics == nil || r.Version == 0 && len(r.Topics) == 0:
		answer.Topics = allTopics(s, c, view)
	case namesIDs(r.Topics):
		answer.Topics = topicsByID(s, c, r.Topics, view)
	default:
		answer.Topics = topicsByName(s, c, r, view)
	}
	if r.IncludeTopicAuthorizedOperations && r.Version >= 8 {
		for t := range answer.Topics {
			if name := answer.Topics[t].Topic; name != nil {
				answer.Topics[t].AuthorizedOperations = s.topicOperations(c, *name)
			}
		}
	}
	if r.IncludeClusterAuthorizedOperations && r.Version >= 8 && r.Version <= 10 {
		answer.AuthorizedOperations = s.clusterOperations(c)
	}
	answer.Brokers = metadataBrokers(reachable)
	answer.ClusterID = kmsg.StringPtr(i.ClusterID())
	answer.ControllerID = s.controllerID(reachable)
	return answer
}

func sensibleMetadata(r *kmsg.MetadataRequest) bool {
	for _, t := range r.Topics {
		byID := t.TopicID != [16]byte{}
		if byID && r.Version < 12 || t.Topic == nil && !byID {
			return false
		}
	}
	return true
}

func refusedMetadata(r *kmsg.MetadataRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.MetadataResponse)
	for _, t := range r.Topics {
		refused := topicOutcome(t.Topic, t.TopicID, kerr.InvalidRequest.Code)
		if refused.Topic == nil {
			refused.Topic = kmsg.StringPtr("") // a name may not be null before version 12
		}
		answer.Topics = append(answer.Topics, refused)
	}
	answer.ControllerID = -1
	answer.ErrorCode = kerr.InvalidRequest.Code
	return answer
}

func namesIDs(topics []kmsg.MetadataRequestTopic) bool {
	for _, t := range topics {
		if t.TopicID != [16]byte{} {
			return true
		}
	}
	return false
}

// leadersIn returns each broker once that leads a partition in the answer.
func leadersIn(answer *kmsg.MetadataResponse) (leaders []int32) {
	seen := map[int32]bool{}
	for t := range answer.Topics {
		for p := range answer.Topics[t].Partitions {
			if leader := answer.Topics[t].Partitions[p].Leader; leader >= 0 && !seen[leader] {
				seen[leader] = true
				leaders = append(leaders, leader)
			}
		}
	}
	return leaders
}

func metadataBrokers(reachable []node) []kmsg.MetadataResponseBroker {
	brokers := make([]kmsg.MetadataResponseBroker, len(reachable))
	for i, n := range reachable {
		brokers[i] = kmsg.MetadataResponseBroker{NodeID: n.ID, Host: n.host, Port: n.port, Rack: n.rack()}
	}
	return brokers
}

func allTopics(s *Services, c *Call, view partitionView) []kmsg.MetadataResponseTopic {
	var topics []kmsg.MetadataResponseTopic
	for t := range view.image.Topics(c.Identity.Tenant) {
		if s.Allowed(c, security.OperationDescribe, security.ResourceTopic, t.Name) {
			topics = append(topics, view.topic(t))
		}
	}
	return topics
}

func topicsByID(s *Services, c *Call, asked []kmsg.MetadataRequestTopic, view partitionView) []kmsg.MetadataResponseTopic {
	topics := make([]kmsg.MetadataResponseTopic, 0, len(asked))
	seen := make(map[[16]byte]bool, len(asked))
	for _, a := range asked {
		if a.TopicID == [16]byte{} || seen[a.TopicID] {
			continue
		}
		seen[a.TopicID] = true
		t := view.image.TopicByID(a.TopicID)
		switch {
		case t == nil || t.Tenant != c.Identity.Tenant:
			topics = append(topics, topicOutcome(nil, a.TopicID, kerr.UnknownTopicID.Code))
		case !s.Allowed(c, security.OperationDescribe, security.ResourceTopic, t.Name):
			topics = append(topics, topicOutcome(nil, a.TopicID, kerr.TopicAuthorizationFailed.Code))
		default:
			topics = append(topics, view.topic(t))
		}
	}
	return topics
}

// topicsByName answers each name once, in the order of the request. What does not exist is created first if it may be.
func topicsByName(s *Services, c *Call, r *kmsg.MetadataRequest, view partitionView) []kmsg.MetadataResponseTopic {
	topics := make([]kmsg.MetadataResponseTopic, 0, len(r.Topics))
	missing := map[string]int{}
	seen := make(map[string]bool, len(r.Topics))
	for _, a := range r.Topics {
		name := *a.Topic
		if seen[name] {
			continue
		}
		seen[name] = true
		if !s.Allowed(c, security.OperationDescribe, security.ResourceTopic, name) {
			topics = append(topics, topicOutcome(&name, image.TopicID{}, kerr.TopicAuthorizationFailed.Code))
			continue
		}
		if t := view.image.Topic(c.Identity.Tenant, name); t != nil {
			topics = append(topics, view.topic(t))
			continue
		}
		missing[name] = len(topics)
		topics = append(topics, absentTopic(name))
	}
	wished := r.AllowAutoTopicCreation || r.Version < 4 // older clients cannot say that they do not wish it
	if wished && len(missing) > 0 && s.Settings.Broker(view.image).Bool("auto.create.topics.enable") {
		s.createMissing(c, missing, topics, view)
	}
	return topics
}

// createMissing starts the creation of the missing topics and replaces their places in topics by what came of it.
func (s *Services) createMissing(c *Call, missing map[string]int, topics []kmsg.MetadataResponseTopic, view partitionView) {
	anywhere := s.allowedOnCluster(c, security.OperationCreate)
	var names []string
	for name, at := range missing {
		switch {
		case !validTopicName(name): // it keeps INVALID_TOPIC_EXCEPTION
		case !anywhere && !s.Allowed(c, security.OperationCreate, security.ResourceTopic, name):
			topics[at].ErrorCode = kerr.TopicAuthorizationFailed.Code
		default:
			names = append(names, name)
		}
	}
	outcomes := s.awaitCreation(c.Context, c.Identity.Tenant, names)
	view.image = s.Metadata.Image()
	for _, name := range names {
		if t := view.image.Topic(c.Identity.Tenant, name); t != nil {
			topics[missing[name]] = view.topic(t)
		} else {
			topics[missing[name]].ErrorCode = outcomes[name]
		}
	}
}

func absentTopic(name string) kmsg.MetadataResponseTopic {
	code := kerr.UnknownTopicOrPartition.Code
	if !validTopicName(name) {
		code = kerr.InvalidTopicException.Code
	}
	return topicOutcome(&name, image.TopicID{}, code)
}

func topicOutcome(name *string, id image.TopicID, code int16) kmsg.MetadataResponseTopic {
	t := kmsg.NewMetadataResponseTopic()
	t.Topic, t.TopicID, t.ErrorCode = name, id, code
	t.IsInternal = name != nil && controller.IsInternal(*name)
	return t
}
