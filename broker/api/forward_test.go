package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/peer"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// listenerPeers reaches the controller through a socket.
type listenerPeers struct{ controller *rawClient }

func (p listenerPeers) Do(_ context.Context, nodeID int32, request kmsg.Request) (kmsg.Response, error) {
	if nodeID != 1 {
		return nil, fmt.Errorf("no broker %d", nodeID)
	}
	return p.controller.ask(request)
}

// peersFunc lets a test decide what becomes of a request between brokers.
type peersFunc func(request kmsg.Request) (kmsg.Response, error)

func (p peersFunc) Do(_ context.Context, _ int32, request kmsg.Request) (kmsg.Response, error) {
	return p(request)
}

// besideController is broker 2 of a cluster whose controller is broker 1: it sees the same metadata and may not change it.
func besideController(t testing.TB, controller *Services, peers Peers) *Services {
	t.Helper()
	s := &Services{
		NodeID: 2, Metadata: controller.Metadata, Replicas: controller.Replicas, Groups: controller.Groups, Settings: controller.Settings,
		Clock: controller.Clock, Logger: controller.Logger, InternalListener: internalListener, Peers: peers,
	}
	New(s) // fills in the table
	t.Cleanup(s.Close)
	return s
}

func forwardingPair(t testing.TB) (controller, other *Services) {
	t.Helper()
	controller = testServices(t, nil)
	return controller, besideController(t, controller, listenerPeers{dial(t, testListener(t, controller, internalListener))})
}

// throughRow asks as a session does.
func throughRow(s *Services, c *Call, request kmsg.Request) kmsg.Response {
	c.Version = request.GetVersion()
	return s.answer(c, s.row(request.Key()), request)
}

func createOf(name string, partitions int32) *kmsg.CreateTopicsRequest {
	r := kmsg.NewPtrCreateTopicsRequest()
	r.Version, r.TimeoutMillis = 7, 5000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
	r.Topics = append(r.Topics, topic)
	return r
}

// No key of the listener between brokers is known to a listener of clients, in any version: the connection ends, and what
// was asked is not done.
func TestClientsCannotSpeakInternalAPIs(t *testing.T) {
	s := testServices(t, nil)
	address := testServer(t, s)
	internal := 0
	for _, row := range Table() {
		for version := row.MinVersion; row.Internal && version <= row.MaxVersion; version++ {
			internal++
			request := row.newRequest()
			kmsgDefault(request)
			fill(reflect.ValueOf(request).Elem())
			request.SetVersion(version)
			if _, is := request.(*kmsg.EnvelopeRequest); is {
				request = sealEnvelope(callFrom(t.Context(), "127.0.0.1:9092"), createOf("smuggled", 1))
			}
			if answer, err := dial(t, address).ask(request); !errors.Is(err, io.EOF) && !isReset(err) {
				t.Errorf("%s %d was answered: %v, %v", kmsg.NameForKey(row.Key), version, answer, err)
			}
		}
	}
	if internal == 0 {
		t.Fatal("no row is internal")
	}
	if s.Metadata.Image().Topic(security.DefaultTenant, "smuggled") != nil {
		t.Error("an Envelope from a client created a topic")
	}
}

func TestForwardedRequestIsAnsweredByTheController(t *testing.T) {
	controller, other := forwardingPair(t)
	c := callFrom(t.Context(), "127.0.0.1:9092")
	answer := throughRow(other, c, createOf("rides", 3)).(*kmsg.CreateTopicsResponse)
	if len(answer.Topics) != 1 || answer.Topics[0].ErrorCode != 0 || answer.Topics[0].NumPartitions != 3 {
		t.Fatalf("created: %+v", answer.Topics)
	}
	created := controller.Metadata.Image().Topic(security.DefaultTenant, "rides")
	if created == nil || created.ID != answer.Topics[0].TopicID {
		t.Errorf("the controller has %+v", created)
	}
	again := throughRow(other, c, createOf("rides", 3)).(*kmsg.CreateTopicsResponse)
	if again.Topics[0].ErrorCode != kerr.TopicAlreadyExists.Code {
		t.Errorf("created again: error %d, want TOPIC_ALREADY_EXISTS", again.Topics[0].ErrorCode)
	}
}

// A client's settings of a topic go to the controller; those of another broker are refused where they came.
func TestSettingsAreForwardedInPart(t *testing.T) {
	controller, other := forwardingPair(t)
	c := callFrom(t.Context(), "127.0.0.1:9092")
	throughRow(other, c, createOf("rides", 1))
	value := "60000"
	change := func(kind kmsg.ConfigResourceType, name, setting string) kmsg.IncrementalAlterConfigsRequestResource {
		return kmsg.IncrementalAlterConfigsRequestResource{ResourceType: kind, ResourceName: name,
			Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: setting, Value: &value}}}
	}
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	request.Version = 1
	request.Resources = []kmsg.IncrementalAlterConfigsRequestResource{
		change(kmsg.ConfigResourceTypeTopic, "rides", "retention.ms"),
		change(kmsg.ConfigResourceTypeBroker, "1", "log.retention.ms"),
		change(kmsg.ConfigResourceTypeTopic, "nowhere", "retention.ms"),
		change(kmsg.ConfigResourceTypeBroker, "", "log.retention.ms"),
	}
	var codes []int16
	for _, resource := range throughRow(other, c, request).(*kmsg.IncrementalAlterConfigsResponse).Resources {
		codes = append(codes, resource.ErrorCode)
	}
	if want := []int16{0, kerr.InvalidRequest.Code, kerr.UnknownTopicOrPartition.Code, 0}; !slices.Equal(codes, want) {
		t.Errorf("errors %v, want %v", codes, want)
	}
	if got := controller.Metadata.Image().Topic(security.DefaultTenant, "rides").Config["retention.ms"]; got != value {
		t.Errorf("retention.ms is %q", got)
	}
	legacy := kmsg.NewPtrAlterConfigsRequest()
	legacy.Version = 2
	legacy.Resources = []kmsg.AlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "rides"}}
	if got := throughRow(other, c, legacy).(*kmsg.AlterConfigsResponse).Resources[0]; got.ErrorCode != 0 {
		t.Errorf("AlterConfigs: error %d", got.ErrorCode)
	}
	if config := controller.Metadata.Image().Topic(security.DefaultTenant, "rides").Config; len(config) > 0 {
		t.Errorf("AlterConfigs left %v", config)
	}
}

// Topics made on demand, producer ids and the groups' topic come from the controller, too.
func TestBrokerAsksTheControllerForItself(t *testing.T) {
	controller, other := forwardingPair(t)
	if err := other.createOne(t.Context(), topicName{security.DefaultTenant, "on-demand"}); err != nil {
		t.Errorf("create on demand: %v", err)
	}
	if controller.Metadata.Image().Topic(security.DefaultTenant, "on-demand") == nil {
		t.Error("the controller has no topic")
	}
	if topic := other.internalTopic(t.Context(), groupMetadataTopic); topic == nil || topic.Config["cleanup.policy"] != "compact" {
		t.Errorf("the groups' topic is %+v", topic)
	}
	if _, err := controller.Metadata.RegisterBroker(t.Context(), image.Broker{ID: 2, Incarnation: [16]byte{2}}); err != nil {
		t.Fatal(err)
	}
	first := kmsg.NewPtrInitProducerIDRequest()
	first.Version = 4
	seen := map[int64]bool{}
	for _, s := range []*Services{other, controller, other} {
		answer := throughRow(s, callFrom(t.Context(), "127.0.0.1:9092"), first).(*kmsg.InitProducerIDResponse)
		if answer.ErrorCode != 0 || seen[answer.ProducerID] {
			t.Errorf("error %d, producer id %d of %v", answer.ErrorCode, answer.ProducerID, seen)
		}
		seen[answer.ProducerID] = true
	}
}

// While the controller moves a request is tried again; what may have been done is not, and its outcome is said to be open.
func TestForwardingWhileTheControllerMoves(t *testing.T) {
	controller := testServices(t, nil)
	truly := listenerPeers{dial(t, testListener(t, controller, internalListener))}
	lost := fmt.Errorf("broker 1: %w", peer.ErrOutcomeUnknown)
	notController := &kmsg.EnvelopeResponse{ErrorCode: kerr.NotController.Code}
	create := func() kmsg.Request { return createOf("rides", 1) }
	describe := func() kmsg.Request {
		r := kmsg.NewPtrDescribeQuorumRequest()
		r.Version = 2
		return r
	}
	for _, test := range []struct {
		name     string
		request  func() kmsg.Request
		failures []any // what becomes of the first attempts
		want     int16
		attempts int
	}{
		{"it cannot be reached at first", create, []any{errors.New("refused"), errors.New("refused")}, 0, 3},
		{"it is no longer the controller", describe, []any{notController, notController}, 0, 3},
		{"its answer is lost", create, []any{lost}, kerr.RequestTimedOut.Code, 1},
		{"the answer to a question is lost", describe, []any{lost, lost}, 0, 3},
		{"it does not know the request", describe, []any{&kmsg.EnvelopeResponse{ErrorCode: kerr.UnsupportedVersion.Code}}, kerr.UnsupportedVersion.Code, 1},
	} {
		attempts := 0
		s := besideController(t, controller, peersFunc(func(request kmsg.Request) (kmsg.Response, error) {
			attempts++
			if attempts > len(test.failures) {
				return truly.Do(t.Context(), 1, request)
			}
			switch failure := test.failures[attempts-1].(type) {
			case error:
				return nil, failure
			default:
				return failure.(kmsg.Response), nil
			}
		}))
		answer := throughRow(s, callFrom(t.Context(), "127.0.0.1:9092"), test.request())
		if test.want != 0 && !says(answer, test.want) || test.want == 0 && !says(answer, 0) || attempts != test.attempts {
			t.Errorf("%s: %d attempts, want %d; %+v", test.name, attempts, test.attempts, answer)
		}
	}
}

// Without a controller the client is told so once its own timeout has passed, and not told that it failed for good.
func TestForwardingWithoutAController(t *testing.T) {
	s := besideController(t, testServices(t, nil), peersFunc(func(kmsg.Request) (kmsg.Response, error) { return nil, errors.New("refused") }))
	request := createOf("rides", 1)
	request.TimeoutMillis = 50
	answer := throughRow(s, callFrom(t.Context(), "127.0.0.1:9092"), request)
	if code := answer.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode; !kerr.IsRetriable(kerr.ErrorForCode(code)) {
		t.Errorf("error %d is not one to try again after", code)
	}
}

// Every row that is forwarded has a form in which to say that it could not be.
func TestFailuresOfForwardingHaveAForm(t *testing.T) {
	for _, row := range Table() {
		for version := row.MinVersion; row.Forwarded == forwardedWhole && version <= row.MaxVersion; version++ {
			request := row.newRequest()
			kmsgDefault(request)
			fill(reflect.ValueOf(request).Elem())
			request.SetVersion(version)
			answer := failedAnswer(request, kerr.NotController.Code, kmsg.StringPtr("why"))
			if !says(answer, kerr.NotController.Code) {
				t.Errorf("%s %d: %+v", kmsg.NameForKey(row.Key), version, answer)
			}
		}
	}
}
