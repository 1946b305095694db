package group

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/group/assignor"
	"github.com/millrace-io/millrace/broker/group/topology"
)

// TestRecordsAreKafkas decodes what we write with kmsg's own types.
func TestRecordsAreKafkas(t *testing.T) {
	key := groupKey{defaultTenant, "orders"}
	protocol, leader, instance := "range", "m1", "one"
	stored := &storedGroup{
		protocolType: "consumer", generation: 7, protocol: &protocol, leader: &leader, stateChangedMillis: 99,
		members: []storedMember{
			{id: "m1", instanceID: &instance, clientID: "c", clientHost: "/h", rebalanceTimeoutMillis: 1, sessionTimeoutMillis: 2, subscription: []byte("s"), assignment: []byte("a")},
			{id: "m2", clientID: "d", clientHost: "/i", rebalanceTimeoutMillis: 3, sessionTimeoutMillis: 4},
		},
	}
	record := groupRecord(key, stored)
	var k kmsg.GroupMetadataKey
	var v kmsg.GroupMetadataValue
	if err := k.ReadFrom(record.Key); err != nil || k.Version != 2 || k.Group != "orders" {
		t.Errorf("key %+v, error %v", k, err)
	}
	if err := v.ReadFrom(record.Value); err != nil {
		t.Fatal(err)
	}
	if v.Version != 3 || v.ProtocolType != "consumer" || v.Generation != 7 || *v.Protocol != "range" || *v.Leader != "m1" || v.CurrentStateTimestamp != 99 || len(v.Members) != 2 {
		t.Errorf("value %+v", v)
	}
	m := v.Members[0]
	if m.MemberID != "m1" || *m.InstanceID != "one" || m.ClientID != "c" || m.ClientHost != "/h" || m.RebalanceTimeoutMillis != 1 || m.SessionTimeoutMillis != 2 || string(m.Subscription) != "s" || string(m.Assignment) != "a" {
		t.Errorf("member %+v", m)
	}
	back, err := parseGroup(record.Value)
	if err != nil || !reflect.DeepEqual(back, stored) {
		t.Errorf("read back %+v, error %v", back, err)
	}

	for _, o := range []committedOffset{
		{offset: 5, leaderEpoch: 3, metadata: "hello", commitMillis: 10, expireMillis: -1},
		{offset: 5, leaderEpoch: -1, metadata: "", commitMillis: 10, expireMillis: 20},
	} {
		record := offsetRecord(key, "t", 4, o)
		var k kmsg.OffsetCommitKey
		var v kmsg.OffsetCommitValue
		if err := k.ReadFrom(record.Key); err != nil || k.Version != 1 || k.Group != "orders" || k.Topic != "t" || k.Partition != 4 {
			t.Errorf("key %+v, error %v", k, err)
		}
		if err := v.ReadFrom(record.Value); err != nil || v.Offset != 5 || v.Metadata != o.metadata || v.CommitTimestamp != 10 {
			t.Errorf("value %+v, error %v", v, err)
		}
		if back, err := parseOffset(record.Value); err != nil || back != o {
			t.Errorf("read back %+v, error %v", back, err)
		}
	}
}

// TestEveryVersionIsRead: a directory that Kafka wrote, old or new, loads.
func TestEveryVersionIsRead(t *testing.T) {
	group := "0008" + "consumer"
	tests := []struct{ name, value, want string }{
		{"offset v0", "0000 0000000000000005 0001m 0000000000000009", "5/-1/m/9/-1"},
		{"offset v1", "0001 0000000000000005 0001m 0000000000000009 000000000000000a", "5/-1/m/9/10"},
		{"offset v2", "0002 0000000000000005 0001m 0000000000000009", "5/-1/m/9/-1"},
		{"offset v3", "0003 0000000000000005 00000007 0001m 0000000000000009", "5/7/m/9/-1"},
		{"offset v4", "0004 0000000000000005 00000007 02m 0000000000000009 00", "5/7/m/9/-1"},
		{"offset v4, tagged field", "0004 0000000000000005 00000007 02m 0000000000000009 01 00 02 ffff", "5/7/m/9/-1"},
		{"group v0", "0000 " + group + " 00000003 0001p 0001l 00000001 0001l 0001c 0001h 0000000a 00000001s 00000001a", "consumer/3/p/l/-1 l/-/c/h/10/10/s/a"},
		{"group v1", "0001 " + group + " 00000003 0001p 0001l 00000001 0001l 0001c 0001h 00000014 0000000a 00000001s 00000001a", "consumer/3/p/l/-1 l/-/c/h/20/10/s/a"},
		{"group v2", "0002 " + group + " 00000003 ffff ffff 0000000000000009 00000000", "consumer/3/-/-/9"},
		{"group v3", "0003 " + group + " 00000003 0001p 0001l 0000000000000009 00000001 0001l 0001i 0001c 0001h 00000014 0000000a 00000001s 00000001a", "consumer/3/p/l/9 l/i/c/h/20/10/s/a"},
		{"group v4", "0004 09consumer 00000003 02p 02l 0000000000000009 02 02l 00 02c 02h 00000014 0000000a 02s 02a 00 00", "consumer/3/p/l/9 l/-/c/h/20/10/s/a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			value := unhex(t, tt.value)
			got := ""
			if strings.HasPrefix(tt.name, "offset") {
				o, err := parseOffset(value)
				if err != nil {
					t.Fatal(err)
				}
				got = strings.Join([]string{itoa(o.offset), itoa(int64(o.leaderEpoch)), o.metadata, itoa(o.commitMillis), itoa(o.expireMillis)}, "/")
			} else {
				g, err := parseGroup(value)
				if err != nil {
					t.Fatal(err)
				}
				got = strings.Join([]string{g.protocolType, itoa(int64(g.generation)), text(g.protocol), text(g.leader), itoa(g.stateChangedMillis)}, "/")
				for _, m := range g.members {
					got += " " + strings.Join([]string{m.id, text(m.instanceID), m.clientID, m.clientHost, itoa(int64(m.rebalanceTimeoutMillis)), itoa(int64(m.sessionTimeoutMillis)), string(m.subscription), string(m.assignment)}, "/")
				}
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			for n := range value {
				if _, err := parseOffset(value[:n]); err == nil && strings.HasPrefix(tt.name, "offset") {
					t.Errorf("%d of %d bytes are taken for a whole value", n, len(value))
				}
			}
		})
	}
}

func TestUnknownRecordsAreSkipped(t *testing.T) {
	s := newShard(DefaultSettings, func() Topics { return noTopics{} })
	for _, key := range []string{"0012 0001g", "0018 0001g", "7fff"} {
		if err := s.Replay(rawRecord(unhex(t, key), []byte("whatever"))); err != nil {
			t.Errorf("key %s: %v", key, err)
		}
	}
	for _, fault := range []struct{ key, value string }{
		{"", ""}, {"00", ""}, {"0001 0001g 0001t", ""}, {"0002 0005g", ""},
		{"0001 0001g 0001t 00000000", "0005 00"}, {"0002 0001g", "0005 00"}, {"0002 0001g", "0003 ffff"},
		{"0002 0001g", "0000 0001c 00000001 ffff ffff 7fffffff"},
	} {
		if err := s.Replay(rawRecord(unhex(t, fault.key), unhex(t, fault.value))); err == nil {
			t.Errorf("key %q value %q is taken", fault.key, fault.value)
		}
	}
	if len(s.groups) != 0 {
		t.Errorf("%d groups came of it", len(s.groups))
	}
}

func TestNamesOfTenantsDoNotMeet(t *testing.T) {
	keys := []groupKey{{defaultTenant, "g"}, {"acme", "g"}, {defaultTenant, "\x00acme\x00g"}, {defaultTenant, ""}, {"a", "cme\x00g"}}
	seen := map[string]groupKey{}
	for _, key := range keys {
		name := key.onDisk()
		if other, ok := seen[name]; ok {
			t.Errorf("%q and %q are both %q", other, key, name)
		}
		seen[name] = key
		if back := keyFromDisk(name); back != key {
			t.Errorf("%q comes back as %q", key, back)
		}
	}
	if name := keys[0].onDisk(); name != "g" {
		t.Errorf("the default tenant's group is %q on disk", name)
	}
}

func TestPartitionIsKafkas(t *testing.T) {
	s := New(Config{PartitionCount: func() int32 { return 50 }})
	defer s.Close()
	// Computed by Java: Utils.abs(group.hashCode()) % 50.
	for id, want := range map[string]int32{"": 0, "a": 47, "orders": 31, "polygenelubricants": 0, "größe": 7, "😀": 49} {
		if got := s.PartitionFor(defaultTenant, id); got != want {
			t.Errorf("%q goes to partition %d, want %d", id, got, want)
		}
	}
	if none := New(Config{PartitionCount: func() int32 { return 0 }}); none.PartitionFor(defaultTenant, "a") != -1 {
		t.Error("a group has a partition though the topic does not exist")
	}
}

// streamsBeat is the heartbeat of a member of an application that reads t.
func streamsBeat(member string, epoch int32) *kmsg.StreamsGroupHeartbeatRequest {
	r := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	r.Group, r.MemberID, r.MemberEpoch, r.RebalanceTimeoutMillis = "g", member, epoch, 1
	r.ActiveTasks, r.StandbyTasks, r.WarmupTasks = []kmsg.TaskIDs{}, []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
	if epoch == 0 {
		r.Topology = &kmsg.StreamsGroupHeartbeatRequestTopology{Subtopologies: []kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{{SubtopologyID: "0", SourceTopics: []string{"t"}}}}
	}
	return r
}

func FuzzReplay(f *testing.F) {
	key := groupKey{defaultTenant, "g"}
	protocol := "range"
	add := func(k, v []byte) { f.Add(k, v) }
	offset := offsetRecord(key, "t", 1, committedOffset{offset: 1, metadata: "m", expireMillis: -1})
	add(offset.Key, offset.Value)
	group := groupRecord(key, &storedGroup{protocolType: "consumer", protocol: &protocol, members: []storedMember{{id: "m"}}})
	add(group.Key, group.Value)
	add(group.Key, append([]byte{0, 4}, group.Value[2:]...))
	for _, r := range []coordinator.Record{
		consumerEpochRecord(key, 7, 1, 2), consumerMemberRecord(key, &consumerMember{id: "m", topics: []string{"t"}, regex: "t"}),
		consumerTargetEpochRecord(key, 1, 2), consumerTargetRecord(key, "m", assignor.Partitions{testTopicID("t"): {0, 1}}),
		consumerCurrentRecord(key, &consumerMember{id: "m", assigned: held{testTopicID("t"): {0: 1}}}), consumerRegexRecord(key, "t", &resolvedRegex{topics: []string{"t"}}),
		streamsEpochRecord(key, streamsEpoch{2, 1, 0, map[string]string{"num.standby.replicas": "0"}}),
		streamsTopologyRecord(key, topology.New(0, []topology.Subtopology{{ID: "0", Sources: []string{"t"}, Copartitions: []topology.Copartition{{Sources: []int16{0}}}}})),
		streamsMemberRecord(key, &streamsMember{id: "m", endpoint: &endpoint{"h", 1}}), streamsTargetEpochRecord(key, 2, 1),
		streamsTargetRecord(key, "m", tasks{active: taskSet{{Subtopology: "0", Partition: 1}: 0}}),
		streamsCurrentRecord(key, &streamsMember{id: "m", epoch: 2, state: memberUnrevoked, assigned: tasks{active: taskSet{{Subtopology: "0", Partition: 1}: 1}}}),
	} {
		add(r.Key, r.Value)
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		s := newShard(DefaultSettings, func() Topics { return testTopics{"t": 2} })
		if s.Replay(rawRecord(key, value)) == nil {
			s.Loaded(time.UnixMilli(0))
			r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
			r.Group, r.MemberID, r.RebalanceTimeoutMillis, r.SubscribedTopicNames, r.Topics = "g", "n", 1, []string{"t"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
			s.Step(consumerHeartbeatRequest{key: groupKey{defaultTenant, "g"}, body: r}, 1, time.UnixMilli(0))
			for _, epoch := range []int32{0, 2} {
				s.Step(streamsHeartbeatRequest{key: groupKey{defaultTenant, "g"}, body: streamsBeat("m", epoch)}, 1, time.UnixMilli(0))
			}
			s.Step(describeStreamsRequest{[]groupKey{{defaultTenant, "g"}}}, 1, time.UnixMilli(0))
			s.Step(coordinator.Tick{}, 0, time.UnixMilli(1))
		}
		if s.Replay(rawRecord(key, nil)) == nil && len(s.groups) > 1 {
			t.Fatal("one record made two groups")
		}
		if _, err := parseGroup(value); err == nil {
			g, _ := parseGroup(value)
			if back, err := parseGroup(groupRecord(groupKey{}, g).Value); err == nil && len(back.members) != len(g.members) {
				t.Fatal("members are lost")
			}
		}
	})
}

func FuzzSubscription(f *testing.F) {
	f.Add(subscription("a", "b"))
	f.Add(bytes.Repeat([]byte{0xff}, 8))
	f.Fuzz(func(t *testing.T, p []byte) {
		topics, err := subscribedTopics(p)
		if err == nil && len(topics) > len(p) {
			t.Fatalf("%d topics in %d bytes", len(topics), len(p))
		}
		known := kmsg.NewConsumerMemberMetadata()
		if known.ReadFrom(p) == nil && err != nil {
			t.Fatalf("kmsg reads it, we do not: %v", err)
		}
	})
}

// unhex reads hex digits; other letters stand for themselves, blanks for nothing.
func unhex(t *testing.T, s string) []byte {
	t.Helper()
	var out []byte
	for _, word := range strings.Fields(s) {
		for word != "" {
			if b, err := hex.DecodeString(word[:min(2, len(word))]); err == nil && len(b) == 1 {
				out = append(out, b...)
				word = word[2:]
				continue
			}
			out = append(out, word[0])
			word = word[1:]
		}
	}
	return out
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func rawRecord(key, value []byte) coordinator.Record {
	return coordinator.Record{Key: key, Value: value}
}
