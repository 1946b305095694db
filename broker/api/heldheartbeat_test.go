package api

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// librdkafka gives a heartbeat no longer to be answered than the interval that it was told last: it is not kept, and told no
// short one. Nor is a client of which nobody knows better.
func TestHeartbeatsAreHeldWhereTheClientWaits(t *testing.T) {
	s, _ := groupServices(t)
	findCoordinator(s, groupCall(t), &kmsg.FindCoordinatorRequest{Version: 4, CoordinatorKeys: []string{"g"}}) // makes the topic
	for software, want := range map[string]bool{"kgo": true, "apache-kafka-java": true, "librdkafka": false, "confluent-kafka-go": false, "rdkafka-ruby": false, "": false} {
		c := groupCall(t)
		c.Software = software
		join := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		join.Version, join.Group, join.MemberID, join.RebalanceTimeoutMillis = 1, "group of "+software, "one", 60_000
		join.SubscribedTopicNames, join.Topics = []string{"orders"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		joined := consumerGroupHeartbeat(s, c, join).(*kmsg.ConsumerGroupHeartbeatResponse)
		if joined.ErrorCode != 0 || !want && joined.HeartbeatIntervalMillis < 500 {
			t.Errorf("%q: a member that joins is answered %+v", software, joined)
		}
		again := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		again.Version, again.Group, again.MemberID, again.MemberEpoch = 1, join.Group, "one", joined.MemberEpoch
		switch answer := consumerGroupHeartbeat(s, c, again).(type) {
		case *heldHeartbeat:
			answer.watch.Forget()
			if !want {
				t.Errorf("%q: the answer to a heartbeat is kept", software)
			}
		case *kmsg.ConsumerGroupHeartbeatResponse:
			if want || answer.HeartbeatIntervalMillis < 500 {
				t.Errorf("%q: a heartbeat is answered %+v", software, answer)
			}
		}
	}
}
