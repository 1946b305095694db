package api

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// DeleteTopics, key 20, versions 1 to 6. Kafka: ControllerApis.deleteTopics.
//
// From version 6 on a topic is named by its name or by its id, never by both.
//
// Deviation: answers are in the order of the request (Kafka shuffles them); a timeout of 0 or less means 30 seconds.
func deleteTopics(s *Services, c *Call, r *kmsg.DeleteTopicsRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.DeleteTopicsResponse)
	if !s.Settings.Broker(s.Metadata.Image()).Bool("delete.topic.enable") {
		return deletionDisabled(r, answer)
	}
	d := deletion{services: s, call: c, image: s.Metadata.Image(), places: map[image.TopicID]int{}}
	for _, t := range onceByName(askedToDelete(r), deletionKey) {
		d.add(t)
	}
	ctx, cancel := requestContext(c, r.TimeoutMillis)
	defer cancel()
	if len(d.ids) > 0 {
		for i, err := range s.Metadata.DeleteTopics(ctx, d.ids) {
			topic := &d.topics[d.places[d.ids[i]]]
			topic.ErrorCode, topic.ErrorMessage = s.outcome(err)
		}
	}
	answer.Topics = d.topics
	return answer
}

func deletionDisabled(r *kmsg.DeleteTopicsRequest, answer *kmsg.DeleteTopicsResponse) kmsg.Response {
	fault := kerr.TopicDeletionDisabled
	if r.Version < 3 {
		fault = kerr.InvalidRequest // TOPIC_DELETION_DISABLED is not known to it
	}
	for _, t := range askedToDelete(r) {
		answer.Topics = append(answer.Topics, kmsg.DeleteTopicsResponseTopic{
			Topic: t.Topic, TopicID: t.TopicID, ErrorCode: fault.Code, ErrorMessage: kmsg.StringPtr("Topic deletion is disabled."),
		})
	}
	return answer
}

// askedToDelete lists what is named in any version.
func askedToDelete(r *kmsg.DeleteTopicsRequest) []kmsg.DeleteTopicsRequestTopic {
	topics := r.Topics
	for i := range r.TopicNames {
		topics = append(topics, kmsg.DeleteTopicsRequestTopic{Topic: &r.TopicNames[i]})
	}
	return topics
}

// deletionKey tells apart what the request names. Names hold no zero byte that could make one look like an id.
func deletionKey(t *kmsg.DeleteTopicsRequestTopic) string {
	if t.Topic == nil {
		return "\x00" + string(t.TopicID[:])
	}
	if t.TopicID != [16]byte{} {
		return "\x00" + string(t.TopicID[:]) + *t.Topic
	}
	return *t.Topic
}

// deletion sorts what a request names into topics to delete and refusals.
type deletion struct {
	services *Services
	call     *Call
	image    *image.Image
	topics   []kmsg.DeleteTopicsResponseTopic
	ids      []image.TopicID
	places   map[image.TopicID]int // of ids in topics
}

func (d *deletion) add(t named[kmsg.DeleteTopicsRequestTopic]) {
	byID := t.first.TopicID != [16]byte{}
	switch {
	case t.first.Topic == nil && !byID:
		d.refuse(nil, image.TopicID{}, refuse(kerr.InvalidRequest, "Neither topic name nor id were specified."))
	case t.first.Topic != nil && byID:
		d.refuse(t.first.Topic, t.first.TopicID, refuse(kerr.InvalidRequest, "You may not specify both topic name and topic id."))
	case t.twice && byID:
		d.refuse(nil, t.first.TopicID, refuse(kerr.InvalidRequest, "Duplicate topic id."))
	case t.twice:
		d.refuse(t.first.Topic, image.TopicID{}, refuse(kerr.InvalidRequest, "Duplicate topic name."))
	case byID:
		d.byID(t.first.TopicID)
	default:
		d.byName(*t.first.Topic)
	}
}

func (d *deletion) byID(id image.TopicID) {
	t := d.image.TopicByID(id)
	switch {
	case t == nil || t.Tenant != d.call.Identity.Tenant:
		d.refuse(nil, id, kerr.UnknownTopicID)
	case !d.allowed(t.Name, security.OperationDelete) && d.allowed(t.Name, security.OperationDescribe):
		d.refuse(&t.Name, id, kerr.TopicAuthorizationFailed)
	case !d.allowed(t.Name, security.OperationDelete):
		d.refuse(nil, id, kerr.TopicAuthorizationFailed)
	default:
		d.delete(t)
	}
}

func (d *deletion) byName(name string) {
	t := d.image.Topic(d.call.Identity.Tenant, name)
	switch {
	case !d.allowed(name, security.OperationDescribe):
		d.refuse(&name, image.TopicID{}, kerr.TopicAuthorizationFailed)
	case t == nil:
		d.refuse(&name, image.TopicID{}, kerr.UnknownTopicOrPartition)
	case !d.allowed(name, security.OperationDelete):
		d.refuse(&name, image.TopicID{}, kerr.TopicAuthorizationFailed)
	default:
		d.delete(t)
	}
}

func (d *deletion) allowed(name string, operation security.Operation) bool {
	return d.services.allowedOnCluster(d.call, security.OperationDelete) ||
		d.services.Allowed(d.call, operation, security.ResourceTopic, name)
}

// delete takes the topic to be deleted. One that the request names by its name and by its id is refused, once.
func (d *deletion) delete(t *image.Topic) {
	if at, taken := d.places[t.ID]; taken {
		d.topics[at].ErrorCode, d.topics[at].ErrorMessage = d.services.outcome(refuse(kerr.InvalidRequest,
			"The provided topic name maps to an ID that was already supplied."))
		d.ids = slices.DeleteFunc(d.ids, func(id image.TopicID) bool { return id == t.ID })
		return
	}
	d.places[t.ID] = len(d.topics)
	d.ids = append(d.ids, t.ID)
	d.topics = append(d.topics, kmsg.DeleteTopicsResponseTopic{Topic: &t.Name, TopicID: t.ID})
}

func (d *deletion) refuse(name *string, id image.TopicID, fault error) {
	topic := kmsg.DeleteTopicsResponseTopic{Topic: name, TopicID: id}
	topic.ErrorCode, topic.ErrorMessage = d.services.outcome(fault)
	d.topics = append(d.topics, topic)
}
