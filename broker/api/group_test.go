package api

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/server"
	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// groupLog is __consumer_offsets without a disk: what is appended is committed.
type groupLog struct {
	mu  sync.Mutex
	end map[int32]int64
}

func (l *groupLog) Append(_ context.Context, partition int32, b record.Batch, _ int32) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end[partition] += int64(b.Count())
	return l.end[partition], nil
}
func (l *groupLog) AwaitCommitted(_ int32, _ int64, _ int32, done func(error)) { done(nil) }
func (l *groupLog) Read(context.Context, int32, int64, int) ([]byte, int64, error) {
	return nil, 0, nil
}
func (l *groupLog) LogStartOffset(int32) (int64, error) { return 0, nil }

// groupServices is a broker whose groups live in a groupLog, with the topic orders of two partitions.
func groupServices(t *testing.T) (*Services, *image.Topic) {
	t.Helper()
	s := testServices(t, map[string]string{"offsets.topic.num.partitions": "3", "transaction.state.log.num.partitions": "3"})
	s.TransactionCoordinator = testTransactions(t, s)
	s.Groups = group.New(group.Config{Log: &groupLog{end: map[int32]int64{}}, PartitionCount: func() int32 { return 3 }})
	t.Cleanup(s.Groups.Close)
	for partition := range int32(3) {
		s.Groups.OnElection(partition, 0)
	}
	created := s.Metadata.CreateTopics(t.Context(), security.DefaultTenant, []controller.NewTopic{{Name: "orders", PartitionCount: 2, ReplicationFactor: 1}}, false)
	if created[0].Err != nil {
		t.Fatal(created[0].Err)
	}
	for who := groupCaller(groupCall(t)); ; time.Sleep(time.Millisecond) { // the shards load in the background
		if s.Groups.ListGroups(t.Context(), who, &kmsg.ListGroupsRequest{}).ErrorCode == 0 {
			break
		}
	}
	return s, s.Metadata.Image().Topic(security.DefaultTenant, "orders")
}

func groupCall(t *testing.T) *Call {
	return &Call{ClientID: "c", Peer: &server.Peer{
		Context: t.Context(), Listener: "PLAINTEXT", Identity: security.Anonymous("127.0.0.1"),
		Local: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9092},
	}}
}

func TestFindCoordinatorCreatesItsTopic(t *testing.T) {
	s, _ := groupServices(t)
	c := groupCall(t)
	answer := findCoordinator(s, c, &kmsg.FindCoordinatorRequest{Version: 4, CoordinatorKeys: []string{"a", "b"}}).(*kmsg.FindCoordinatorResponse)
	for _, found := range answer.Coordinators {
		if found.ErrorCode != 0 || found.NodeID != 1 || found.Host != "127.0.0.1" || found.Port != 9092 {
			t.Errorf("coordinator of %s: %+v", found.Key, found)
		}
	}
	topic := s.Metadata.Image().Topic(security.DefaultTenant, groupMetadataTopic)
	if topic == nil || topic.PartitionCount() != 3 || topic.Config["cleanup.policy"] != "compact" || topic.Config["segment.bytes"] != "104857600" {
		t.Fatalf("created %+v", topic)
	}
	for _, tt := range []struct {
		version int16
		keyType int8
		code    int16
		message string
	}{
		{0, coordinatorOfTransaction, 0, "NONE"}, // version 0 knows groups only
		{3, coordinatorOfGroup, 0, "NONE"},
		{3, coordinatorOfTransaction, 0, "NONE"},
		{6, coordinatorOfTransaction, 0, ""},
		{6, coordinatorOfShare, kerr.InvalidRequest.Code, ""},
		{6, 9, kerr.InvalidRequest.Code, kerr.InvalidRequest.Description},
	} {
		answer := findCoordinator(s, c, &kmsg.FindCoordinatorRequest{
			Version: tt.version, CoordinatorType: tt.keyType, CoordinatorKey: "k", CoordinatorKeys: []string{"k"},
		}).(*kmsg.FindCoordinatorResponse)
		code, message, node, port := answer.ErrorCode, answer.ErrorMessage, answer.NodeID, answer.Port
		if tt.version >= 4 {
			found := answer.Coordinators[0]
			code, message, node, port = found.ErrorCode, found.ErrorMessage, found.NodeID, found.Port
		}
		if code != tt.code || message == nil || *message != tt.message || (code != 0) != (node == -1 && port == -1) {
			t.Errorf("version %d, type %d: error %d, message %v, node %d, port %d", tt.version, tt.keyType, code, message, node, port)
		}
	}
}

func TestOffsetCommitTellsKnownFromUnknown(t *testing.T) {
	s, orders := groupServices(t)
	c := groupCall(t)
	topic := func(name string, id [16]byte, partitions ...int32) kmsg.OffsetCommitRequestTopic {
		x := kmsg.OffsetCommitRequestTopic{Topic: name, TopicID: id}
		for _, n := range partitions {
			p := kmsg.NewOffsetCommitRequestTopicPartition()
			p.Partition, p.Offset = n, int64(10+n)
			x.Partitions = append(x.Partitions, p)
		}
		return x
	}
	unknown := [16]byte{9}
	for _, tt := range []struct {
		version int16
		topics  []kmsg.OffsetCommitRequestTopic
	}{
		{9, []kmsg.OffsetCommitRequestTopic{topic("nobody", [16]byte{}, 0), topic("orders", [16]byte{}, 7, 1, 0), topic("orders", [16]byte{})}},
		{10, []kmsg.OffsetCommitRequestTopic{topic("", unknown, 0), topic("", orders.ID, 7, 1, 0), topic("", orders.ID)}},
	} {
		answer := offsetCommit(s, c, &kmsg.OffsetCommitRequest{Version: tt.version, Group: "g", Generation: -1, Topics: tt.topics}).(*kmsg.OffsetCommitResponse)
		var got []string
		for i, x := range answer.Topics {
			if x.Topic != tt.topics[i].Topic || x.TopicID != tt.topics[i].TopicID {
				t.Errorf("topic %d is answered as %q %v", i, x.Topic, x.TopicID)
			}
			for _, p := range x.Partitions {
				got = append(got, fmt.Sprint(p.Partition, ":", p.ErrorCode))
			}
		}
		missing := kerr.UnknownTopicOrPartition.Code
		if tt.version >= 10 {
			missing = kerr.UnknownTopicID.Code
		}
		want := []string{fmt.Sprint("0:", missing), "7:3", "1:0", "0:0"}
		if diff := cmp.Diff(want, got); diff != "" || answer.Version != tt.version {
			t.Errorf("version %d: %s", tt.version, diff)
		}
	}
}

func commitOrders(t *testing.T, s *Services, c *Call) {
	t.Helper()
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset = 1, 11
	offsetCommit(s, c, &kmsg.OffsetCommitRequest{Version: 9, Group: "g", Generation: -1, Topics: []kmsg.OffsetCommitRequestTopic{
		{Topic: "orders", Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}},
	}})
}

// fetched shows an answer of any version as group:error topic partition:offset:error.
func fetched(r *kmsg.OffsetFetchResponse) string {
	out := ""
	if r.Version < 8 {
		out = fmt.Sprintf("%d", r.ErrorCode)
		for _, x := range r.Topics {
			out += " " + x.Topic
			for _, p := range x.Partitions {
				out += fmt.Sprintf(" %d:%d:%d", p.Partition, p.Offset, p.ErrorCode)
			}
		}
		return out
	}
	for i, g := range r.Groups {
		if i > 0 {
			out += ", "
		}
		out += fmt.Sprintf("%s:%d", g.Group, g.ErrorCode)
		for _, x := range g.Topics {
			out += " " + x.Topic
			if x.TopicID != [16]byte{} {
				out += "+id"
			}
			for _, p := range x.Partitions {
				out += fmt.Sprintf(" %d:%d:%d", p.Partition, p.Offset, p.ErrorCode)
			}
		}
	}
	return out
}

func TestOffsetFetchInEveryForm(t *testing.T) {
	s, orders := groupServices(t)
	c := groupCall(t)
	commitOrders(t, s, c)
	old := []kmsg.OffsetFetchRequestTopic{{Topic: "orders", Partitions: []int32{0, 1}}}
	named := []kmsg.OffsetFetchRequestGroupTopic{{Topic: "orders", Partitions: []int32{1}}, {Topic: "gone", Partitions: []int32{0}}}
	byID := []kmsg.OffsetFetchRequestGroupTopic{{TopicID: orders.ID, Partitions: []int32{1}}, {TopicID: [16]byte{9}, Partitions: []int32{0}}}
	for _, tt := range []struct {
		name string
		r    kmsg.OffsetFetchRequest
		want string
	}{
		{"v1", kmsg.OffsetFetchRequest{Version: 1, Group: "g", Topics: old}, "0 orders 0:-1:0 1:11:0"},
		{"v1, no topics", kmsg.OffsetFetchRequest{Version: 1, Group: "g"}, "0"},
		{"v7, all", kmsg.OffsetFetchRequest{Version: 7, Group: "g"}, "0 orders 1:11:0"},
		{"v7, none", kmsg.OffsetFetchRequest{Version: 7, Group: "g", Topics: []kmsg.OffsetFetchRequestTopic{}}, "0"},
		{"v8", kmsg.OffsetFetchRequest{Version: 8, Groups: []kmsg.OffsetFetchRequestGroup{{Group: "g", Topics: named}, {Group: "h"}}}, "g:0 orders 1:11:0 gone 0:-1:0, h:0"},
		{"v10", kmsg.OffsetFetchRequest{Version: 10, Groups: []kmsg.OffsetFetchRequestGroup{{Group: "g", Topics: byID}}}, "g:0 orders+id 1:11:0 +id 0:-1:100"},
		{"v10, all", kmsg.OffsetFetchRequest{Version: 10, Groups: []kmsg.OffsetFetchRequestGroup{{Group: "g"}}}, "g:0 orders+id 1:11:0"},
	} {
		if got := fetched(offsetFetch(s, c, &tt.r).(*kmsg.OffsetFetchResponse)); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	for partition := range int32(3) {
		s.Groups.OnResignation(partition)
	}
	for version, want := range map[int16]string{1: "16 orders 0:-1:16 1:-1:16", 2: "16", 7: "16"} {
		r := kmsg.OffsetFetchRequest{Version: version, Group: "g", Topics: old}
		if got := fetched(offsetFetch(s, c, &r).(*kmsg.OffsetFetchResponse)); got != want {
			t.Errorf("version %d of a group elsewhere: got %q, want %q", version, got, want)
		}
	}
}

func TestOffsetDeleteAndGroups(t *testing.T) {
	s, _ := groupServices(t)
	c := groupCall(t)
	commitOrders(t, s, c)
	ask := &kmsg.OffsetDeleteRequest{Group: "g"}
	for _, name := range []string{"orders", "nobody"} {
		ask.Topics = append(ask.Topics, kmsg.OffsetDeleteRequestTopic{Topic: name, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 1}, {Partition: 7}}})
	}
	answer := offsetDelete(s, c, ask).(*kmsg.OffsetDeleteResponse)
	got := ""
	for _, x := range answer.Topics {
		for _, p := range x.Partitions {
			got += fmt.Sprintf("%s-%d:%d ", x.Topic, p.Partition, p.ErrorCode)
		}
	}
	if want := "orders-7:3 orders-1:0 nobody-1:3 nobody-7:3 "; got != want || answer.ErrorCode != 0 {
		t.Errorf("got %q, want %q; error %d", got, want, answer.ErrorCode)
	}
	ask.Group = "absent"
	if answer := offsetDelete(s, c, ask).(*kmsg.OffsetDeleteResponse); answer.ErrorCode != kerr.GroupIDNotFound.Code || len(answer.Topics) != 0 {
		t.Errorf("of an absent group: error %d, topics %v", answer.ErrorCode, answer.Topics)
	}

	commitOrders(t, s, c)
	described := describeGroups(s, c, &kmsg.DescribeGroupsRequest{Version: 6, Groups: []string{"absent", "g"}, IncludeAuthorizedOperations: true}).(*kmsg.DescribeGroupsResponse).Groups
	if described[0].ErrorCode != kerr.GroupIDNotFound.Code || described[0].State != "Dead" || described[1].State != "Empty" || described[1].AuthorizedOperations <= 0 {
		t.Errorf("described %+v", described)
	}
	deleted := deleteGroups(s, c, &kmsg.DeleteGroupsRequest{Version: 2, Groups: []string{"g", "absent", "g"}}).(*kmsg.DeleteGroupsResponse).Groups
	if len(deleted) != 2 || deleted[0].ErrorCode != 0 || deleted[1].ErrorCode != kerr.GroupIDNotFound.Code {
		t.Errorf("deleted %+v", deleted)
	}
	if listed := listGroups(s, c, &kmsg.ListGroupsRequest{Version: 5}).(*kmsg.ListGroupsResponse).Groups; len(listed) != 0 {
		t.Errorf("left: %+v", listed)
	}
}
