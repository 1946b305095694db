package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group/topology"
	"github.com/millrace-io/millrace/security"
)

// streamsFeature is the feature whose level says that streams groups may be used.
const streamsFeature = "streams.version"

// streamsGroupsEnabled reports whether the cluster has streams groups switched on.
func (s *Services) streamsGroupsEnabled() bool {
	i := s.Metadata.Image()
	return i.Features()[streamsFeature] >= 1 && slices.Contains(s.Settings.Broker(i).List("group.coordinator.rebalance.protocols"), "streams")
}

// StreamsGroupHeartbeat, key 88, version 0 (KIP-1071). Kafka: KafkaApis.handleStreamsGroupHeartbeat,
// GroupMetadataManager.streamsGroupHeartbeat.
//
// Internal topics that the application needs are created in the background, in the member's name; it hears that they are
// missing until they are there.
//
// Deviation: a member that waits for something is told a short heartbeat interval.
func streamsGroupHeartbeat(s *Services, c *Call, r *kmsg.StreamsGroupHeartbeatRequest) kmsg.Response {
	refuse := func(err *kerr.Error, message *string) kmsg.Response {
		answer := r.ResponseKind().(*kmsg.StreamsGroupHeartbeatResponse)
		answer.ErrorCode, answer.ErrorMessage = err.Code, message
		return answer
	}
	switch {
	case !s.streamsGroupsEnabled():
		return refuse(kerr.UnsupportedVersion, &kerr.UnsupportedVersion.Description)
	case !s.allowedOnGroup(c, security.OperationRead, r.Group):
		return refuse(kerr.GroupAuthorizationFailed, &kerr.GroupAuthorizationFailed.Description)
	}
	topics := topologyTopics(r.Topology)
	if prohibited := picked(topics, isKafkaInternal); len(prohibited) > 0 {
		message := fmt.Sprintf("Use of Kafka internal topics %s in a Kafka Streams topology is prohibited.", strings.Join(prohibited, ","))
		return refuse(kerr.StreamsInvalidTopology, &message)
	}
	if wrong := picked(topics, func(name string) bool { return !validTopicName(name) }); len(wrong) > 0 {
		message := fmt.Sprintf("Topic names %s are not valid topic names.", strings.Join(wrong, ","))
		return refuse(kerr.StreamsInvalidTopology, &message)
	}
	for _, name := range topics {
		if !s.Allowed(c, security.OperationDescribe, security.ResourceTopic, name) {
			return refuse(kerr.TopicAuthorizationFailed, nil)
		}
	}
	answer, missing := s.Groups.StreamsGroupHeartbeat(c.Context, groupCaller(c), r)
	if answer.ErrorCode == 0 && len(missing) > 0 {
		s.createStreamsTopics(c, answer, missing)
	}
	return answer
}

// hopelessHeartbeatMillis is the least heartbeat interval of a member whose topics cannot be created.
const hopelessHeartbeatMillis = 1000

// isKafkaInternal reports that Kafka keeps the topic for itself.
func isKafkaInternal(name string) bool {
	return name == groupMetadataTopic || name == transactionStateTopic || name == shareGroupStateTopic
}

// topologyTopics are the names in a topology, each once, in the order in which they come.
func topologyTopics(t *kmsg.StreamsGroupHeartbeatRequestTopology) []string {
	if t == nil {
		return nil
	}
	var names []string
	seen := map[string]bool{}
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	for _, sub := range t.Subtopologies {
		for _, name := range slices.Concat(sub.SourceTopics, sub.RepartitionSinkTopics) {
			add(name)
		}
		for _, topic := range slices.Concat(sub.RepartitionSourceTopics, sub.StateChangelogTopics) {
			add(topic.Topic)
		}
	}
	return names
}

func picked(names []string, which func(string) bool) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !which(name) })
}

// createStreamsTopics starts the creation of internal topics, or says in the answer what is in the way of it.
func (s *Services) createStreamsTopics(c *Call, answer *kmsg.StreamsGroupHeartbeatResponse, missing []topology.Topic) {
	var forbidden, faults []string
	if !s.allowedOnCluster(c, security.OperationCreate) {
		for _, topic := range missing {
			if !s.Allowed(c, security.OperationCreate, security.ResourceTopic, topic.Name) {
				forbidden = append(forbidden, topic.Name)
			}
		}
	}
	if len(forbidden) > 0 {
		addMissingDetail(answer, "; Unauthorized to CREATE on topics "+strings.Join(forbidden, ", ")+".")
		return
	}
	for _, topic := range missing {
		if fault := s.createStreamsTopic(c.Identity.Tenant, topic); fault != "" {
			faults = append(faults, fmt.Sprintf("%s (%s)", topic.Name, fault))
		}
	}
	const shown = 3
	switch more := len(faults) - shown; {
	case len(faults) == 0:
	case more > 0:
		addMissingDetail(answer, fmt.Sprintf("; Creation failed: %s and %d more.", strings.Join(faults[:shown], ", "), more))
	default:
		addMissingDetail(answer, fmt.Sprintf("; Creation failed: %s.", strings.Join(faults, ", ")))
	}
}

// addMissingDetail says more of the topics that are missing. It will take somebody to make them, so there is no hurry.
func addMissingDetail(answer *kmsg.StreamsGroupHeartbeatResponse, detail string) {
	answer.HeartbeatIntervalMillis = max(answer.HeartbeatIntervalMillis, hopelessHeartbeatMillis)
	for i := range answer.Status {
		if answer.Status[i].StatusCode == int8(topology.MissingInternalTopics) {
			answer.Status[i].StatusDetail += detail
		}
	}
}
