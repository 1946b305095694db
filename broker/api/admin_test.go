package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/server"
	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// callFrom is a call of a client that dialled the given address.
func callFrom(ctx context.Context, local string) *Call {
	address, err := net.ResolveTCPAddr("tcp", local)
	if err != nil {
		panic(err)
	}
	return &Call{Peer: &server.Peer{Context: ctx, Listener: "PLAINTEXT", Local: address, Identity: security.Anonymous("127.0.0.1")}}
}

func TestAnAPIWithoutARowIsDenied(t *testing.T) {
	s, c := &Services{}, callFrom(t.Context(), "127.0.0.1:9092")
	if s.admitted(c, nil) {
		t.Error("an API that the table does not name is admitted")
	}
	if s.admitted(c, &Row{Key: 3}) {
		t.Error("a row that forgot its rule is admitted")
	}
	nobody := &Call{Peer: &server.Peer{}}
	for _, row := range Table() {
		if !s.admitted(c, &row) {
			t.Errorf("key %d: refused to a client of the default tenant", row.Key)
		}
		if public := row.Access.Operation == security.OperationNone; s.admitted(nobody, &row) != public {
			t.Errorf("key %d: admitted without an identity: %v, want %v", row.Key, !public, public)
		}
	}
}

func TestTableIsWellFormed(t *testing.T) {
	last := int16(-1)
	for _, row := range Table() {
		if row.Key <= last {
			t.Errorf("key %d comes after %d", row.Key, last)
		}
		last = row.Key
		if row.MinVersion > row.MaxVersion || row.AdvertisedMin > row.MinVersion {
			t.Errorf("key %d: versions %d (shown %d) to %d", row.Key, row.MinVersion, row.AdvertisedMin, row.MaxVersion)
		}
	}
}

func TestProtocolError(t *testing.T) {
	refusal := &controller.Refusal{Err: kerr.InvalidPartitions, Message: "Number of partitions was set to an invalid non-positive value."}
	for _, test := range []struct {
		err     error
		code    int16
		message string
	}{
		{nil, 0, ""},
		{refusal, 37, refusal.Message},
		{fmt.Errorf("create topic: %w", refusal), 37, refusal.Message},
		{&controller.Refusal{Err: kerr.InvalidConfig}, 40, kerr.InvalidConfig.Description},
		{kerr.UnknownTopicID, 100, "This server does not host this topic ID."},
		{fmt.Errorf("wait: %w", context.DeadlineExceeded), 7, "The request timed out."},
		{context.Canceled, 7, "The request timed out."},
		{errors.New("disk on fire"), -1, kerr.UnknownServerError.Description},
	} {
		if code, message := protocolError(test.err); code != test.code || message != test.message {
			t.Errorf("%v: %d %q, want %d %q", test.err, code, message, test.code, test.message)
		}
	}
}

func TestSoftwareName(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "librdkafka": true, "apache-kafka-java": true, "4.3.1": true, "1.2.3-rc.1": true, "": false, "-a": false, "a-": false,
		".a": false, "a b": false, "a_b": false, "é": false, "a\x00": false,
	} {
		if softwareName(name) != want {
			t.Errorf("%q: %v, want %v", name, !want, want)
		}
	}
}

func TestParseAdvertisedListeners(t *testing.T) {
	got, err := ParseAdvertisedListeners("PLAINTEXT://kafka.example:9092, internal://[::1]:19092")
	if err != nil || len(got) != 2 || got["PLAINTEXT"] != "kafka.example:9092" || got["INTERNAL"] != "[::1]:19092" {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"kafka:9092", "PLAINTEXT://kafka", "PLAINTEXT://:9092", "PLAINTEXT://kafka:0", "://a:1", "A://a:1,A://b:2", "A://a:70000"} {
		if got, err := ParseAdvertisedListeners(bad); err == nil {
			t.Errorf("%q is taken as %v", bad, got)
		}
	}
}

func TestEndpointIsWhatTheClientDialled(t *testing.T) {
	s := &Services{NodeID: 1}
	for local, want := range map[string]string{"127.0.0.1:9092": "127.0.0.1 9092", "[::1]:9093": "::1 9093"} {
		host, port := s.Endpoint(callFrom(t.Context(), local), 1)
		if got := fmt.Sprint(host, " ", port); got != want {
			t.Errorf("dialled %s: %s, want %s", local, got, want)
		}
	}
	s.Advertised = map[string]string{"PLAINTEXT": "kafka.example:29092"}
	if host, port := s.Endpoint(callFrom(t.Context(), "127.0.0.1:9092"), 1); host != "kafka.example" || port != 29092 {
		t.Errorf("configured: %s %d", host, port)
	}
}

func TestProducerIDsAreUnique(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ids producerIDs
		var blocks atomic.Int64
		allocate := func(context.Context) (int64, int, error) { return (blocks.Add(1) - 1) * 10, 10, nil }
		var mu sync.Mutex
		seen := map[int64]bool{}
		var clients sync.WaitGroup
		for range 50 {
			clients.Go(func() {
				for range 20 {
					id, err := ids.next(t.Context(), allocate)
					mu.Lock()
					if err != nil || seen[id] {
						t.Errorf("id %d came twice, or %v", id, err)
					}
					seen[id] = true
					mu.Unlock()
				}
			})
		}
		clients.Wait()
		if len(seen) != 1000 || blocks.Load() != 100 {
			t.Errorf("%d ids from %d blocks, want 1000 from 100", len(seen), blocks.Load())
		}
	})
}

// A failing allocation is the error of who asked for it; those that waited for it ask themselves, and end with their context.
func TestProducerIDsWithoutABlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ids producerIDs
		hold := make(chan struct{})
		first := make(chan error, 1)
		go func() {
			_, err := ids.next(t.Context(), func(context.Context) (int64, int, error) { <-hold; return 0, 0, kerr.NotController })
			first <- err
		}()
		synctest.Wait()
		impatient, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := ids.next(impatient, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("ended by its context: %v", err)
		}
		close(hold)
		if err := <-first; !errors.Is(err, kerr.NotController) {
			t.Errorf("failed allocation: %v", err)
		}
		if id, err := ids.next(t.Context(), func(context.Context) (int64, int, error) { return 5, 1, nil }); id != 5 || err != nil {
			t.Errorf("after a failure: %d, %v", id, err)
		}
		if _, err := ids.next(t.Context(), func(context.Context) (int64, int, error) { return 0, 0, nil }); err == nil {
			t.Error("an empty block is taken for an answer")
		}
	})
}

func TestTopicIsCreatedOnceForAllThatAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var creator topicCreator
		var calls atomic.Int64
		hold := make(chan struct{})
		create := func(context.Context, topicName) error { calls.Add(1); <-hold; return kerr.InvalidReplicationFactor }
		one := creator.start(topicName{"default", "a"}, create)
		if two := creator.start(topicName{"default", "a"}, create); two != one {
			t.Error("the second request has a creation of its own")
		}
		for i := 1; i < maxAutoCreations; i++ {
			if creator.start(topicName{"default", fmt.Sprint("t", i)}, create) == nil {
				t.Fatalf("creation %d was refused", i)
			}
		}
		if creator.start(topicName{"default", "too many"}, create) != nil {
			t.Error("there is no bound")
		}
		close(hold)
		<-one.done
		creator.close()
		if !errors.Is(one.err, kerr.InvalidReplicationFactor) || calls.Load() != maxAutoCreations {
			t.Errorf("error %v after %d calls", one.err, calls.Load())
		}
		if creator.start(topicName{"default", "late"}, create) != nil {
			t.Error("a creation began after close")
		}
	})
}

func TestCloseEndsCreations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var creator topicCreator
		one := creator.start(topicName{"default", "a"}, func(ctx context.Context, _ topicName) error { <-ctx.Done(); return ctx.Err() })
		creator.close()
		if !errors.Is(one.err, context.Canceled) {
			t.Errorf("ended with %v", one.err)
		}
	})
}

func TestCreationCode(t *testing.T) {
	for _, test := range []struct {
		err  error
		want int16
	}{
		{nil, kerr.LeaderNotAvailable.Code},
		{kerr.TopicAlreadyExists, kerr.LeaderNotAvailable.Code},
		{context.DeadlineExceeded, kerr.LeaderNotAvailable.Code},
		{errors.New("odd"), kerr.LeaderNotAvailable.Code},
		{kerr.InvalidReplicationFactor, kerr.InvalidReplicationFactor.Code},
		{&controller.Refusal{Err: kerr.PolicyViolation}, kerr.PolicyViolation.Code},
	} {
		if got := creationCode(test.err); got != test.want {
			t.Errorf("%v: %d, want %d", test.err, got, test.want)
		}
	}
}

func TestOnceByName(t *testing.T) {
	names := []string{"b", "a", "b", "c", "b"}
	got := ""
	for _, n := range onceByName(names, func(s *string) string { return *s }) {
		got += fmt.Sprint(*n.first, n.twice, " ")
	}
	if want := "btrue afalse cfalse "; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestLevelNames(t *testing.T) {
	for _, name := range []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"} {
		level, known := levelOf(name)
		if back := levelName(level); !known || back != name {
			t.Errorf("%s becomes %s", name, back)
		}
	}
	if _, known := levelOf("info"); known {
		t.Error("levels are upper case")
	}
	if got := levelName(slog.LevelInfo + 1); got != "INFO" {
		t.Errorf("a level between: %s", got)
	}
}

// clusterImage has broker 1 here, broker 2 fenced, broker 3 without the listener PLAINTEXT, and no broker 4.
func clusterImage(t *testing.T) *image.Image {
	t.Helper()
	edit := image.Empty().Edit(1)
	plain := []image.Listener{{Name: "PLAINTEXT", Host: "b.example", Port: 9092, SecurityProtocol: "PLAINTEXT"}}
	for _, b := range []*image.Broker{
		{ID: 1, Listeners: plain}, {ID: 2, Fenced: true, Listeners: plain}, {ID: 3, Listeners: []image.Listener{{Name: "OTHER", Host: "c", Port: 1}}},
	} {
		if err := edit.PutBroker(b); err != nil {
			t.Fatal(err)
		}
	}
	i, _ := edit.Done()
	return i
}

func TestPartitionsWithoutALeaderToReach(t *testing.T) {
	i := clusterImage(t)
	reachable := []node{{Broker: i.Broker(1), host: "b.example", port: 9092}}
	for _, test := range []struct {
		version int16
		leader  int32
		want    string // error, leader, replicas, in-sync replicas, offline replicas
	}{
		{0, 1, "9 1 [1] [1] [2 3 4]"},
		{5, 1, "0 1 [1 2 3 4] [1 2] [2 3 4]"},
		{5, 2, "5 -1 [1 2 3 4] [1 2] [2 3 4]"},
		{13, 2, "5 -1 [1 2 3 4] [1 2] [2 3 4]"},
		{5, 3, "5 -1 [1 2 3 4] [1 2] [2 3 4]"},
		{6, 3, "72 -1 [1 2 3 4] [1 2] [2 3 4]"},
		{13, 4, "5 -1 [1 2 3 4] [1 2] [2 3 4]"},
		{13, -1, "5 -1 [1 2 3 4] [1 2] [2 3 4]"},
	} {
		view := partitionView{version: test.version, image: i, reachable: reachable}
		p := view.partition(0, &image.Partition{Replicas: []int32{1, 2, 3, 4}, ISR: []int32{1, 2}, Leader: test.leader})
		got := fmt.Sprint(p.ErrorCode, " ", p.Leader, " ", p.Replicas, " ", p.ISR, " ", p.OfflineReplicas)
		if got != test.want {
			t.Errorf("version %d, leader %d: %s, want %s", test.version, test.leader, got, test.want)
		}
	}
}

func TestWhoseHeartbeatsAreHeld(t *testing.T) {
	for software, want := range map[string]bool{
		"apache-kafka-java": true, "kgo": true, "librdkafka": true, "confluent-kafka-python": true, "confluent-kafka-go": true,
		"": false, "kafkajs": false, "sarama": false, "kafka-python": false,
	} {
		if got := beatsAside(software); got != want {
			t.Errorf("%q: %v, want %v", software, got, want)
		}
	}
}
