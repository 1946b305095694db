package api

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// register makes another broker known, at port 9000 + id.
func register(t testing.TB, s *Services, id int32) {
	t.Helper()
	_, err := s.Metadata.RegisterBroker(t.Context(), image.Broker{ID: id, Incarnation: [16]byte{byte(id)}, Rack: "rack-b", Listeners: []image.Listener{
		{Name: "PLAINTEXT", Host: "other.example", Port: 9000 + id, SecurityProtocol: "PLAINTEXT"},
		{Name: internalListener, Host: "inside.example", Port: 9100 + id, SecurityProtocol: "PLAINTEXT"},
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// placed creates a topic with one partition for each list of replicas.
func placed(t testing.TB, s *Services, name string, partitions ...[]int32) *image.Topic {
	t.Helper()
	topic := controller.NewTopic{Name: name, PartitionCount: -1, ReplicationFactor: -1}
	for i, replicas := range partitions {
		topic.Assignments = append(topic.Assignments, controller.Assignment{Partition: int32(i), Replicas: replicas})
	}
	if err := s.Metadata.CreateTopics(t.Context(), security.DefaultTenant, []controller.NewTopic{topic}, false)[0].Err; err != nil {
		t.Fatal(err)
	}
	return s.Metadata.Image().Topic(security.DefaultTenant, name)
}

// A client at the wrong broker is told in the same answer who leads, and where that is (KIP-951); older ones only that
// it is not this one.
func TestAnswersHintAtTheLeader(t *testing.T) {
	s := testServices(t, nil)
	for id := int32(2); id <= 3; id++ {
		register(t, s, id)
	}
	topic := placed(t, s, "rides", []int32{1}, []int32{2})
	epoch := topic.Partition(1).LeaderEpoch
	c := dial(t, testServer(t, s))
	for version := int16(9); version <= 13; version++ {
		answer, err := c.ask(produceOf(version, -1, "rides", topic.ID, 1, batch(t, "one")))
		if err != nil {
			t.Fatal(err)
		}
		got := answer.(*kmsg.ProduceResponse)
		p := got.Topics[0].Partitions[0]
		if p.ErrorCode != kerr.NotLeaderForPartition.Code {
			t.Fatalf("Produce %d: error %d", version, p.ErrorCode)
		}
		if version < 10 {
			continue
		}
		if p.CurrentLeader.LeaderID != 2 || p.CurrentLeader.LeaderEpoch != epoch {
			t.Errorf("Produce %d: leader %+v", version, p.CurrentLeader)
		}
		if len(got.Brokers) != 1 || got.Brokers[0].NodeID != 2 || got.Brokers[0].Host != "other.example" || got.Brokers[0].Port != 9002 || *got.Brokers[0].Rack != "rack-b" {
			t.Errorf("Produce %d: brokers %+v", version, got.Brokers)
		}
	}
	for version := int16(12); version <= 18; version++ {
		answer, err := c.ask(fetchOf(version, "rides", topic.ID, map[int32]int64{0: 0, 1: 0}))
		if err != nil {
			t.Fatal(err)
		}
		got := answer.(*kmsg.FetchResponse)
		p := got.Topics[0].Partitions[1]
		if got.Topics[0].Partitions[0].ErrorCode != 0 || p.ErrorCode != kerr.NotLeaderForPartition.Code {
			t.Fatalf("Fetch %d: %+v", version, got.Topics[0].Partitions)
		}
		if version < 16 {
			if len(got.Brokers) > 0 || p.CurrentLeader.LeaderID != -1 {
				t.Errorf("Fetch %d: brokers %v, leader %+v", version, got.Brokers, p.CurrentLeader)
			}
			continue
		}
		if p.CurrentLeader.LeaderID != 2 || p.CurrentLeader.LeaderEpoch != epoch || len(got.Brokers) != 1 || got.Brokers[0].Port != 9002 {
			t.Errorf("Fetch %d: leader %+v, brokers %+v", version, p.CurrentLeader, got.Brokers)
		}
	}
	answer, err := c.ask(produceOf(13, -1, "rides", topic.ID, 0, batch(t, "one")))
	if err != nil {
		t.Fatal(err)
	}
	if got := answer.(*kmsg.ProduceResponse); got.Topics[0].Partitions[0].ErrorCode != 0 || len(got.Brokers) > 0 {
		t.Errorf("an answer without a hint has %+v", got)
	}
}
