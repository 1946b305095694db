package broker

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// streamer is a member of a streams group that counts words, as far as its heartbeats go.
type streamer struct {
	t      *testing.T
	client *kgo.Client
	group  string
	epoch  int32
	has    []kmsg.TaskIDs
	copies int16 // replicas of its state
}

// beat sends a heartbeat, which must be taken.
func (m *streamer) beat() *kmsg.StreamsGroupHeartbeatResponse {
	m.t.Helper()
	answer := m.ask()
	if answer.ErrorCode != 0 {
		m.t.Fatalf("heartbeat: %+v", answer)
	}
	if m.epoch = answer.MemberEpoch; answer.ActiveTasks != nil {
		m.has = answer.ActiveTasks
	}
	return answer
}

// ask sends a heartbeat until it is answered by more than that it may pass with time.
func (m *streamer) ask() *kmsg.StreamsGroupHeartbeatResponse {
	m.t.Helper()
	r := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	r.Group, r.MemberID, r.MemberEpoch = m.group, "member", m.epoch
	r.ActiveTasks, r.StandbyTasks, r.WarmupTasks = append([]kmsg.TaskIDs{}, m.has...), []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
	if m.epoch == 0 {
		process := "process"
		r.RebalanceTimeoutMillis, r.ProcessID = 60000, &process
		r.Topology = &kmsg.StreamsGroupHeartbeatRequestTopology{Subtopologies: []kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{
			{SubtopologyID: "0", SourceTopics: []string{"lines"}, RepartitionSinkTopics: []string{m.group + "-words"}},
			{SubtopologyID: "1", RepartitionSourceTopics: []kmsg.TopicInfo{{Topic: m.group + "-words"}}, StateChangelogTopics: []kmsg.TopicInfo{
				{Topic: m.group + "-counts", ReplicationFactor: m.copies, Configs: []kmsg.TopicInfoConfig{{Key: "cleanup.policy", Value: "compact"}}}}},
		}}
	}
	answer, err := r.RequestWith(m.t.Context(), m.client.Broker(1)) // kgo does not route it
	for deadline := time.Now().Add(time.Minute); err == nil && kerr.IsRetriable(kerr.ErrorForCode(answer.ErrorCode)) && time.Now().Before(deadline); {
		kadm.NewClient(m.client).FindGroupCoordinators(m.t.Context(), m.group) // which creates the topic of groups
		time.Sleep(20 * time.Millisecond)
		answer, err = r.RequestWith(m.t.Context(), m.client.Broker(1))
	}
	if err != nil {
		m.t.Fatalf("heartbeat: %v", err)
	}
	return answer
}

// until beats until what is waited for, as often as it is told to.
func (m *streamer) until(done func(*kmsg.StreamsGroupHeartbeatResponse) bool) {
	m.t.Helper()
	var answer *kmsg.StreamsGroupHeartbeatResponse
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Duration(min(answer.HeartbeatIntervalMillis, 500)) * time.Millisecond) {
		if answer = m.beat(); done(answer) {
			return
		}
	}
	m.t.Fatalf("what was waited for did not come; the last answer was %+v", answer)
}

// startForStreams starts a broker whose streams groups assign at once and whose members are not missed, however slow it all is.
func startForStreams(t *testing.T) *Broker {
	t.Helper()
	const hour = "3600000"
	return startOneWith(t, map[string]string{"group.streams.initial.rebalance.delay.ms": "0", "group.streams.assignment.interval.ms": "0",
		"group.streams.session.timeout.ms": hour, "group.streams.max.session.timeout.ms": hour})
}

func newStreamer(t *testing.T, group string, copies int16) *streamer {
	t.Helper()
	b := startForStreams(t)
	m := &streamer{t: t, client: newClient(t, b.KafkaAddress()), group: group, copies: copies}
	if _, err := kadm.NewClient(m.client).CreateTopic(t.Context(), 3, 1, nil, "lines"); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAStreamsApplicationGetsItsTopicsAndItsTasks(t *testing.T) {
	m := newStreamer(t, "app", 1)
	m.until(func(*kmsg.StreamsGroupHeartbeatResponse) bool { return len(m.has) == 2 })
	for _, tasks := range m.has {
		if len(tasks.Partitions) != 3 {
			t.Errorf("the tasks are %+v, want three of each subtopology", m.has)
		}
	}
	admin := kadm.NewClient(m.client)
	topics, err := admin.ListTopics(t.Context(), "app-words", "app-counts")
	if err != nil || len(topics["app-words"].Partitions) != 3 || len(topics["app-counts"].Partitions) != 3 {
		t.Errorf("the internal topics are %v, %v", topics, err)
	}
	configs, err := admin.DescribeTopicConfigs(t.Context(), "app-counts")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range configs[0].Configs {
		if c.Key == "cleanup.policy" && *c.Value != "compact" {
			t.Errorf("the changelog has cleanup.policy %s", *c.Value)
		}
	}
	describe := kmsg.NewPtrStreamsGroupDescribeRequest()
	describe.Groups = []string{"app"}
	described, err := describe.RequestWith(t.Context(), m.client.Broker(1))
	if err != nil || described.Groups[0].State != "Stable" || len(described.Groups[0].Members) != 1 {
		t.Errorf("the group is %+v, %v", described, err)
	}
}

func TestAMemberIsToldWhyItsTopicsCannotBeMade(t *testing.T) {
	m := newStreamer(t, "app", 3) // replicas, of one broker
	m.until(func(answer *kmsg.StreamsGroupHeartbeatResponse) bool {
		for _, status := range answer.Status {
			if strings.Contains(status.StatusDetail, "Creation failed: app-counts (") {
				return true
			}
		}
		return false
	})
}
