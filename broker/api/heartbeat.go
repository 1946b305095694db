package api

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/security"
)

// Heartbeat, key 12, versions 0 to 4. Kafka: GroupMetadataManager.classicGroupHeartbeat.
//
// Deviation: an answer without news may be held back until there is some, for clients that wait for it beside their work.
func heartbeat(s *Services, c *Call, r *kmsg.HeartbeatRequest) kmsg.Response {
	if !s.allowedOnGroup(c, security.OperationRead, r.Group) {
		answer := r.ResponseKind().(*kmsg.HeartbeatResponse)
		answer.ErrorCode = kerr.GroupAuthorizationFailed.Code
		return answer
	}
	answer, watch := s.Groups.Heartbeat(c.Context, groupCaller(c), r)
	if watch == nil || !beatsAside(c.Software) {
		return answer
	}
	return &heldHeartbeat{classicHeartbeat{answer}, watch}
}

// beatsAside reports whether a client sends heartbeats from a thread of their own, or without waiting for the answer, so that
// one may be kept. Others, such as KafkaJS, wait for it between two records. They tell their names with ApiVersions (KIP-511).
func beatsAside(software string) bool {
	switch software {
	case "apache-kafka-java", "kgo", "librdkafka":
		return true
	}
	return strings.HasPrefix(software, "confluent-kafka-") // librdkafka's bindings
}

// classicHeartbeat is a Heartbeat's answer that may be kept.
type classicHeartbeat struct{ *kmsg.HeartbeatResponse }

func (h classicHeartbeat) settle(said *kerr.Error, _, _ bool) {
	if said != nil {
		h.ErrorCode = said.Code
	}
}
