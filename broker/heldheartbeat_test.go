package broker

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestHeartbeatsAreHeldUntilThereIsNews: an answer without news goes with the next request on its connection, or with news.
func TestHeartbeatsAreHeldUntilThereIsNews(t *testing.T) {
	b := startOneWith(t, map[string]string{"group.consumer.heartbeat.interval.ms": "15000", "millrace.group.heartbeat.hold.max.ms": "10000"})
	admin := clientOf(t, b)
	if _, err := admin.CreateTopics(t.Context(), 4, 1, nil, "rides"); err != nil {
		t.Fatal(err)
	}
	first, second := rawClient(t, b), rawClient(t, b)
	joined := beat(t, first, "one", 0)
	for joined.MemberEpoch == 0 {
		joined = beat(t, first, "one", 0) // the coordinator loads
	}

	held := later(t, first, "one", joined.MemberEpoch)
	answer := whileWaiting(held, func() {
		if _, err := first.Request(t.Context(), kmsg.NewPtrMetadataRequest()); err != nil {
			t.Error(err)
		}
	})
	if answer.HeartbeatIntervalMillis != 300 || answer.Assignment != nil {
		t.Errorf("after another request: next in %d ms, assignment %v", answer.HeartbeatIntervalMillis, answer.Assignment)
	}

	held = later(t, first, "one", joined.MemberEpoch)
	answer = whileWaiting(held, func() { beat(t, second, "two", 0) })
	if answer.HeartbeatIntervalMillis != 1 && answer.Assignment == nil {
		t.Errorf("after another member came: next in %d ms, no assignment", answer.HeartbeatIntervalMillis)
	}
}

func rawClient(t *testing.T, b *Broker) *kgo.Broker {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.KafkaAddress()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := client.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	return client.Broker(1)
}

func beat(t *testing.T, c *kgo.Broker, member string, epoch int32) *kmsg.ConsumerGroupHeartbeatResponse {
	t.Helper()
	r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	r.Group, r.MemberID, r.MemberEpoch = "drivers", member, epoch
	if epoch == 0 {
		r.RebalanceTimeoutMillis, r.SubscribedTopicNames, r.Topics = 60_000, []string{"rides"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		find := kmsg.NewPtrFindCoordinatorRequest() // makes the offsets topic
		find.CoordinatorKeys = []string{r.Group}
		if _, err := c.Request(t.Context(), find); err != nil {
			t.Error(err)
		}
	}
	answer, err := c.Request(t.Context(), r)
	if err != nil {
		t.Error(err)
		return kmsg.NewPtrConsumerGroupHeartbeatResponse()
	}
	return answer.(*kmsg.ConsumerGroupHeartbeatResponse)
}

func later(t *testing.T, c *kgo.Broker, member string, epoch int32) <-chan *kmsg.ConsumerGroupHeartbeatResponse {
	answers := make(chan *kmsg.ConsumerGroupHeartbeatResponse, 1)
	go func() { answers <- beat(t, c, member, epoch) }()
	return answers
}

// whileWaiting does something, again and again, until there is an answer: the heartbeat may be on its way still.
func whileWaiting[T any](answers <-chan T, do func()) T {
	for {
		select {
		case answer := <-answers:
			return answer
		case <-time.After(50 * time.Millisecond):
			do()
		}
	}
}
