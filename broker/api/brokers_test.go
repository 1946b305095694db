package api

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// ofBroker is a call by the listener between brokers.
func ofBroker(t testing.TB, id int32) *Call {
	c := callFrom(t.Context(), "127.0.0.1:9192")
	c.Listener = internalListener
	c.Identity = security.Identity{Tenant: security.DefaultTenant, Principal: BrokerPrincipal(id), Host: "127.0.0.1"}
	return c
}

func registrationOf(s *Services, id int32) *kmsg.BrokerRegistrationRequest {
	r := kmsg.NewPtrBrokerRegistrationRequest()
	r.Version, r.BrokerID, r.ClusterID, r.IncarnationID, r.PreviousBrokerEpoch = 4, id, s.Metadata.ClusterID(), [16]byte{byte(id), 1}, -1
	r.Rack, r.LogDirs = kmsg.StringPtr("rack-b"), [][16]byte{{byte(id), 2}}
	r.Listeners = []kmsg.BrokerRegistrationRequestListener{
		{Name: "PLAINTEXT", Host: "other.example", Port: 60000}, {Name: internalListener, Host: "inside.example", Port: 9192},
	}
	r.Features = []kmsg.BrokerRegistrationRequestFeature{{Name: "metadata.version", MinSupportedVersion: 7, MaxSupportedVersion: 30}}
	return r
}

func TestBrokersRegisterAtTheController(t *testing.T) {
	s := testServices(t, nil)
	New(s)
	for _, test := range []struct {
		name   string
		change func(*kmsg.BrokerRegistrationRequest)
		want   int16
	}{
		{"another cluster", func(r *kmsg.BrokerRegistrationRequest) { r.ClusterID = "another" }, kerr.InconsistentClusterID.Code},
		{"another broker's name", func(r *kmsg.BrokerRegistrationRequest) { r.BrokerID = 3 }, kerr.ClusterAuthorizationFailed.Code},
		{"too old a release", func(r *kmsg.BrokerRegistrationRequest) { r.Features[0].MaxSupportedVersion = 8 }, kerr.UnsupportedVersion.Code},
		{"a directory twice", func(r *kmsg.BrokerRegistrationRequest) { r.LogDirs = [][16]byte{{7}, {7}} }, kerr.InvalidRegistration.Code},
		{"as it should be", func(*kmsg.BrokerRegistrationRequest) {}, 0},
	} {
		request := registrationOf(s, 2)
		test.change(request)
		answer := throughRow(s, ofBroker(t, 2), request).(*kmsg.BrokerRegistrationResponse)
		if answer.ErrorCode != test.want || (answer.BrokerEpoch >= 0) != (test.want == 0) {
			t.Errorf("%s: error %d, epoch %d; want %d", test.name, answer.ErrorCode, answer.BrokerEpoch, test.want)
		}
	}
	b := s.Metadata.Image().Broker(2)
	if b == nil || b.Rack != "rack-b" || b.Incarnation != [16]byte{2, 1} || !slices.Equal(b.Directories, [][16]byte{{2, 2}}) ||
		!slices.Equal(b.Listeners, []image.Listener{{Name: "PLAINTEXT", Host: "other.example", Port: 60000, SecurityProtocol: "PLAINTEXT"},
			{Name: internalListener, Host: "inside.example", Port: 9192, SecurityProtocol: "PLAINTEXT"}}) {
		t.Errorf("registered: %+v", b)
	}
}

func TestHeartbeatsAreAnswered(t *testing.T) {
	s := testServices(t, nil)
	New(s)
	epoch := throughRow(s, ofBroker(t, 2), registrationOf(s, 2)).(*kmsg.BrokerRegistrationResponse).BrokerEpoch
	beat := func(version int16, from int32, brokerEpoch int64) *kmsg.BrokerHeartbeatResponse {
		r := kmsg.NewPtrBrokerHeartbeatRequest()
		r.BrokerID, r.BrokerEpoch, r.CurrentMetadataOffset = 2, brokerEpoch, epoch
		answer, err := roundTrip(s, ofBroker(t, from), s.row(r.Key()), r, version)
		if err != nil {
			t.Fatal(err)
		}
		return answer.(*kmsg.BrokerHeartbeatResponse)
	}
	for version := int16(0); version <= 2; version++ {
		if got := beat(version, 2, epoch); got.ErrorCode != 0 || !got.IsCaughtUp || got.IsFenced || got.ShouldShutdown {
			t.Errorf("version %d: %+v", version, got)
		}
		if got := beat(version, 2, epoch+1); got.ErrorCode != kerr.StaleBrokerEpoch.Code || !got.IsFenced {
			t.Errorf("version %d, another incarnation: %+v", version, got)
		}
		if got := beat(version, 3, epoch); got.ErrorCode != kerr.ClusterAuthorizationFailed.Code {
			t.Errorf("version %d, in another's name: %+v", version, got)
		}
	}
}

// Who came by the listener between brokers without a name is nobody there.
func TestTheNamelessAreClientsEverywhere(t *testing.T) {
	s := testServices(t, nil)
	address := testListenerAs(t, s, internalListener, security.Anonymous("127.0.0.1"))
	if answer, err := dial(t, address).ask(registrationOf(s, 2)); err == nil {
		t.Errorf("answered: %+v", answer)
	}
	if s.Metadata.Image().Broker(2) != nil {
		t.Error("a broker without a name registered")
	}
}

func TestLeadersAlterInSyncSets(t *testing.T) {
	s := testServices(t, nil)
	New(s)
	throughRow(s, ofBroker(t, 2), registrationOf(s, 2))
	topic := placed(t, s, "rides", []int32{1, 2})
	epoch := s.Metadata.Image().Broker(1).Epoch
	ask := func(version int16, brokerEpoch int64, isr ...int32) *kmsg.AlterPartitionResponse {
		state := s.Metadata.Image().TopicByID(topic.ID).Partition(0)
		p := kmsg.AlterPartitionRequestTopicPartition{LeaderEpoch: state.LeaderEpoch, PartitionEpoch: state.PartitionEpoch}
		for _, id := range isr {
			member := kmsg.AlterPartitionRequestTopicPartitionNewEpochISR{BrokerID: id, BrokerEpoch: -1}
			p.NewISR, p.NewEpochISR = append(p.NewISR, id), append(p.NewEpochISR, member)
		}
		r := kmsg.NewPtrAlterPartitionRequest()
		r.BrokerID, r.BrokerEpoch = 1, brokerEpoch
		r.Topics = []kmsg.AlterPartitionRequestTopic{{TopicID: topic.ID, Partitions: []kmsg.AlterPartitionRequestTopicPartition{p}}}
		answer, err := roundTrip(s, ofBroker(t, 1), s.row(r.Key()), r, version)
		if err != nil {
			t.Fatal(err)
		}
		return answer.(*kmsg.AlterPartitionResponse)
	}
	for version := int16(2); version <= 3; version++ {
		for _, isr := range [][]int32{{1}, {1, 2}} {
			answer := ask(version, epoch, isr...)
			if answer.ErrorCode != 0 || len(answer.Topics) != 1 || answer.Topics[0].TopidID != topic.ID {
				t.Fatalf("version %d: %+v", version, answer)
			}
			state := s.Metadata.Image().TopicByID(topic.ID).Partition(0)
			if p := answer.Topics[0].Partitions[0]; p.ErrorCode != 0 || !slices.Equal(p.ISR, isr) || p.LeaderID != 1 || p.PartitionEpoch != state.PartitionEpoch {
				t.Errorf("version %d: %+v", version, p)
			}
		}
		if answer := ask(version, epoch, 2); answer.Topics[0].Partitions[0].ErrorCode != kerr.InvalidRequest.Code {
			t.Errorf("version %d, a leader that leaves itself out: %+v", version, answer)
		}
		if answer := ask(version, epoch-1, 1); answer.ErrorCode != kerr.StaleBrokerEpoch.Code || len(answer.Topics) > 0 {
			t.Errorf("version %d, another incarnation: %+v", version, answer)
		}
	}
}

// A move under way is shown until it ends, wherever it was asked for.
func TestReassignmentIsShownAndCancelled(t *testing.T) {
	controller, other := forwardingPair(t)
	throughRow(controller, ofBroker(t, 3), registrationOf(controller, 3))
	placed(t, controller, "rides", []int32{1})
	c := callFrom(t.Context(), "127.0.0.1:9092")
	move := func(replicas []int32) *kmsg.AlterPartitionAssignmentsResponse {
		r := kmsg.NewPtrAlterPartitionAssignmentsRequest()
		r.Version, r.AllowReplicationFactorChange = 1, true
		r.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: "rides",
			Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Replicas: replicas}}}}
		return throughRow(other, c, r).(*kmsg.AlterPartitionAssignmentsResponse)
	}
	list := func() []kmsg.ListPartitionReassignmentsResponseTopic {
		return throughRow(other, c, kmsg.NewPtrListPartitionReassignmentsRequest()).(*kmsg.ListPartitionReassignmentsResponse).Topics
	}
	if answer := move([]int32{3}); answer.ErrorCode != 0 || answer.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("begun: %+v", answer)
	}
	if shown := list(); len(shown) != 1 || !slices.Equal(shown[0].Partitions[0].AddingReplicas, []int32{3}) || !slices.Equal(shown[0].Partitions[0].RemovingReplicas, []int32{1}) {
		t.Errorf("shown: %+v", shown)
	}
	if answer := move(nil); answer.Topics[0].Partitions[0].ErrorCode != 0 || len(list()) > 0 {
		t.Errorf("cancelled: %+v, shown %+v", answer, list())
	}
}
