package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/security"
)

// anything permits what belongs to the tenant of who asks.
func anything(security.Identity, security.Operation, security.ResourceType, string) bool { return true }

// newTenantStreamers are members of one id in groups of one name that read topics of one name, of the default tenant and of
// another one: with three and with five partitions.
func newTenantStreamers(t *testing.T) (red, blue *streamer) {
	t.Helper()
	b := startForStreams(t)
	red = &streamer{t: t, client: newClient(t, b.KafkaAddress()), group: "app", copies: 1}
	who := security.Identity{Tenant: "blue", Principal: "User:bob", Host: "127.0.0.1"}
	blue = &streamer{t: t, client: clientAs(t, b, who, anything), group: "app", copies: 1}
	for m, partitions := range map[*streamer]int32{red: 3, blue: 5} {
		if _, err := kadm.NewClient(m.client).CreateTopic(t.Context(), partitions, 1, nil, "lines"); err != nil {
			t.Fatal(err)
		}
	}
	return red, blue
}

func (m *streamer) join() {
	m.t.Helper()
	m.until(func(*kmsg.StreamsGroupHeartbeatResponse) bool { return len(m.has) == 2 })
}

// mustBeAlone wants the member's group as if there were no other: with tasks, topics and names of its own.
func (m *streamer) mustBeAlone(partitions int, clientHost string) {
	m.t.Helper()
	tasks := "[0 1 2 3 4]"[:2*partitions] + "]"
	for _, part := range m.has {
		if fmt.Sprint(part.Partitions) != tasks {
			m.t.Errorf("the tasks are %+v, want %s of each subtopology", m.has, tasks)
		}
	}
	g := m.describe()
	if g.ErrorCode != 0 || g.State != "Stable" || len(g.Members) != 1 || g.Members[0].MemberID != "member" || g.Members[0].ClientHost != clientHost {
		m.t.Fatalf("the group is %+v", g)
	}
	reads, keeps := g.Topology.Subtopologies[0], g.Topology.Subtopologies[1]
	if !slices.Equal(reads.SourceTopics, []string{"lines"}) || !slices.Equal(reads.RepartitionSinkTopics, []string{"app-words"}) ||
		keeps.RepartitionSourceTopics[0].Topic != "app-words" || int(keeps.RepartitionSourceTopics[0].NumPartitions) != partitions ||
		keeps.StateChangelogTopics[0].Topic != "app-counts" || int(keeps.StateChangelogTopics[0].NumPartitions) != partitions {
		m.t.Errorf("the topology is %+v", g.Topology)
	}
	admin := kadm.NewClient(m.client)
	listed, err := admin.ListTopics(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	if names := slices.DeleteFunc(listed.Names(), func(name string) bool { return strings.HasPrefix(name, "__") }); !slices.Equal(names, []string{"app-counts", "app-words", "lines"}) {
		m.t.Errorf("the topics are %v", names)
	}
	for _, name := range []string{"app-words", "app-counts"} {
		if n := len(listed[name].Partitions); n != partitions {
			m.t.Errorf("%s has %d partitions, want %d", name, n, partitions)
		}
	}
	m.mustHaveGroups("app")
}

func (m *streamer) mustHaveGroups(want ...string) {
	m.t.Helper()
	listed, err := kadm.NewClient(m.client).ListGroups(m.t.Context())
	if names := listed.Groups(); err != nil || !slices.Equal(names, want) {
		m.t.Errorf("the groups are %v, %v, want %v", names, err, want)
	}
}

func TestStreamsGroupsOfTenantsAreApart(t *testing.T) {
	red, blue := newTenantStreamers(t)
	red.join()
	blue.mustHaveGroups()
	if g := blue.describe(); g.ErrorCode == 0 {
		t.Errorf("the other tenant's group is told: %+v", g)
	}
	blue.join()
	red.mustBeAlone(3, "/127.0.0.1")
	blue.mustBeAlone(5, "/127.0.0.1")

	blue.commit(7)
	if at := red.committed(); at != -1 {
		t.Errorf("what the other tenant committed is told: %d", at)
	}
	red.commit(4)
	if code := blue.commitOf(red.linesID(), 9); code != kerr.UnknownTopicID.Code {
		t.Errorf("an offset of the other tenant's topic was committed: %v", kerr.ErrorForCode(code))
	}
	if at := blue.committed(); at != 7 {
		t.Errorf("the offset of blue is %d, want 7", at)
	}
}

// What one tenant ends or deletes is its own.
func TestTheEndOfATenantsStreamsGroupIsItsOwn(t *testing.T) {
	red, blue := newTenantStreamers(t)
	red.join()
	blue.join()
	red.commit(4)
	if _, err := kadm.NewClient(blue.client).DeleteTopics(t.Context(), "app-counts"); err != nil {
		t.Fatal(err)
	}
	blue.until(func(answer *kmsg.StreamsGroupHeartbeatResponse) bool { // it is missed, and made again
		return len(answer.Status) > 0 && strings.Contains(answer.Status[0].StatusDetail, "app-counts")
	})
	if answer := red.beat(); len(answer.Status) > 0 || answer.ActiveTasks != nil {
		t.Errorf("the other tenant's topic is missed: %+v", answer)
	}
	blue.until(func(answer *kmsg.StreamsGroupHeartbeatResponse) bool {
		return len(answer.Status) == 0 && len(blue.has) == 2
	})

	blue.shutDown()
	if answer := red.beat(); len(answer.Status) > 0 {
		t.Errorf("the other tenant's application ends: %+v", answer)
	}
	blue.epoch = -1
	blue.beat()
	deleted, err := kadm.NewClient(blue.client).DeleteGroups(t.Context(), "app")
	if err != nil || deleted["app"].Err != nil {
		t.Fatalf("delete: %v %v", err, deleted)
	}
	blue.mustHaveGroups()
	red.beat()
	red.mustBeAlone(3, "/127.0.0.1")
	if at := red.committed(); at != 4 {
		t.Errorf("the offset is %d after the other tenant's group was deleted, want 4", at)
	}
}

// shutDown asks for the end of the application, and wants to be told of it.
func (m *streamer) shutDown() {
	m.t.Helper()
	r := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	r.Group, r.MemberID, r.MemberEpoch, r.ShutdownApplication = m.group, "member", m.epoch, true
	answer, err := r.RequestWith(m.t.Context(), m.client.Broker(1))
	if err != nil || answer.ErrorCode != 0 || len(answer.Status) != 1 || answer.Status[0].StatusCode != 4 {
		m.t.Fatalf("shut down: %v %+v", err, answer)
	}
}

// commit commits an offset of the first partition as the member.
func (m *streamer) commit(at int64) {
	m.t.Helper()
	if code := m.commitOf(m.linesID(), at); code != 0 {
		m.t.Fatalf("commit: %v", kerr.ErrorForCode(code))
	}
}

func (m *streamer) commitOf(topic [16]byte, at int64) (code int16) {
	m.t.Helper()
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Group, r.MemberID, r.Generation = m.group, "member", m.epoch
	r.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "lines", TopicID: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: at, LeaderEpoch: -1}}}}
	answer, err := r.RequestWith(m.t.Context(), m.client)
	if err != nil || answer.Topics[0].TopicID != topic {
		m.t.Fatalf("commit: %v %+v", err, answer)
	}
	return answer.Topics[0].Partitions[0].ErrorCode
}

// linesID is the id of the topic that the member's tenant calls lines.
func (m *streamer) linesID() [16]byte {
	m.t.Helper()
	listed, err := kadm.NewClient(m.client).ListTopics(m.t.Context(), "lines")
	if err != nil {
		m.t.Fatal(err)
	}
	return listed["lines"].ID
}

// committed is where the group is in the first partition; -1: nowhere.
func (m *streamer) committed() int64 {
	m.t.Helper()
	offsets, err := kadm.NewClient(m.client).FetchOffsets(m.t.Context(), m.group)
	if err != nil {
		m.t.Fatal(err)
	}
	if at, ok := offsets.Lookup("lines", 0); ok {
		return at.At
	}
	return -1
}
