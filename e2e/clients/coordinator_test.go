//go:build e2e

package clients

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/millrace-io/millrace/e2e/harness"
)

const (
	movedGroup   = "moved"
	movedTopics  = 10
	movedPerOne  = 1000 // partitions of each topic, all committed
	movedPeriods = 6    // restarts of whoever coordinates
)

// The coordinator of a group with ten thousand offsets is restarted: the group goes on where its partition is led next, and
// lacks nothing. The figures are how long nothing was answered to members that commit and heartbeat all the time and look
// for the coordinator without a pause.
func TestClientsOfThreeBrokersWhoseCoordinatorMoves(t *testing.T) {
	cluster := harness.StartCluster(t, harness.ClusterConfig{Settings: map[string]string{"default.replication.factor": "3", "group.initial.rebalance.delay.ms": "0"}})
	hasty := func() *kgo.Client {
		k, err := kgo.NewClient(kgo.SeedBrokers(cluster.Addresses()...), kgo.SoftwareNameAndVersion("pulse", "1"), kgo.MaxVersions(kversion.V3_7_0()), kgo.RetryBackoffFn(func(int) time.Duration { return time.Millisecond }))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(k.Close)
		return k
	}
	k := hasty()
	commitEverything(t, k)
	generation, member := join(t, k)
	ctx, stop := context.WithCancel(t.Context())
	commits, heartbeats := &pulse{}, &pulse{}
	var beating sync.WaitGroup
	committer := hasty()
	beating.Go(func() {
		commits.beat(ctx, t, "commit", func() (int16, error) { return commitOne(ctx, committer, generation, member) })
	})
	beating.Go(func() {
		heartbeats.beat(ctx, t, "heartbeat", func() (int16, error) { return heartbeat(ctx, k, generation, member) })
	})
	var gaps, beats []time.Duration
	for range movedPeriods {
		node := cluster.Node(int(coordinatorOf(t, k)))
		began := time.Now()
		node.Stop()
		time.Sleep(time.Second)
		gaps, beats = append(gaps, commits.longest(began)), append(beats, heartbeats.longest(began))
		node.Restart()
		time.Sleep(2 * time.Second)
	}
	stop()
	beating.Wait()
	t.Logf("FIGURE the coordinator of %d offsets moves: longest time without a commit %v, without a heartbeat %v", movedTopics*movedPerOne, gaps, beats)
	offsets, err := kadm.NewClient(k).FetchOffsets(t.Context(), movedGroup)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(offsets.Offsets().Sorted()); n != movedTopics*movedPerOne {
		t.Errorf("the group has %d offsets, want %d", n, movedTopics*movedPerOne)
	}
}

// pulse notes when something succeeded.
type pulse struct {
	mu sync.Mutex
	at []time.Time // guarded by mu
}

// beat asks again and again, and fails the test when it is refused.
func (p *pulse) beat(ctx context.Context, t *testing.T, what string, ask func() (int16, error)) {
	for ctx.Err() == nil {
		code, err := ask()
		if err == nil {
			err = kerr.ErrorForCode(code)
		}
		if err != nil && ctx.Err() == nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		p.mu.Lock()
		p.at = append(p.at, time.Now())
		p.mu.Unlock()
		time.Sleep(5 * time.Millisecond)
	}
}

// longest is the longest time without a success that ended after a moment.
func (p *pulse) longest(since time.Time) (longest time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := 1; i < len(p.at); i++ {
		if p.at[i].After(since) {
			longest = max(longest, p.at[i].Sub(p.at[i-1]))
		}
	}
	return longest.Round(time.Millisecond)
}

func coordinatorOf(t *testing.T, k *kgo.Client) int32 {
	found := kadm.NewClient(k).FindGroupCoordinators(t.Context(), movedGroup)
	if err := found.Error(); err != nil {
		t.Fatal(err)
	}
	return found[movedGroup].NodeID
}

func movedNames() (names []string) {
	for i := range movedTopics {
		names = append(names, "moved-"+string(rune('a'+i)))
	}
	return names
}

// commitEverything makes the topics and commits an offset for each of their partitions. They lie on a broker that does not
// coordinate the group and have one replica, so that their leaderships need not move with the group's.
func commitEverything(t *testing.T, k *kgo.Client) {
	elsewhere := coordinatorOf(t, k)%3 + 1
	var err error
	for _, name := range movedNames() {
		if err == nil {
			err = createOn(t.Context(), k, name, elsewhere)
		}
	}
	offsets := kadm.Offsets{}
	for _, name := range movedNames() {
		for p := range int32(movedPerOne) {
			offsets.AddOffset(name, p, 0, -1)
		}
	}
	if err == nil {
		err = kadm.NewClient(k).CommitAllOffsets(t.Context(), movedGroup, offsets)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func createOn(ctx context.Context, k *kgo.Client, name string, broker int32) error {
	request, topic := kmsg.NewPtrCreateTopicsRequest(), kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, -1, -1
	for p := range int32(movedPerOne) {
		one := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		one.Partition, one.Replicas = p, []int32{broker}
		topic.ReplicaAssignment = append(topic.ReplicaAssignment, one)
	}
	request.Topics = append(request.Topics, topic)
	answer, err := request.RequestWith(ctx, k)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(answer.Topics[0].ErrorCode)
}

// join makes the only member of the group.
func join(t *testing.T, k *kgo.Client) (generation int32, member string) {
	request := kmsg.NewPtrJoinGroupRequest()
	request.Group, request.ProtocolType, request.SessionTimeoutMillis, request.RebalanceTimeoutMillis = movedGroup, "consumer", 30_000, 30_000
	protocol := kmsg.NewJoinGroupRequestProtocol()
	protocol.Name, protocol.Metadata = "range", (&kmsg.ConsumerMemberMetadata{Topics: slices.Clone(movedNames())}).AppendTo(nil)
	request.Protocols = append(request.Protocols, protocol)
	var answer *kmsg.JoinGroupResponse
	for range 2 { // the first is told its member id
		var err error
		if answer, err = request.RequestWith(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		request.MemberID = answer.MemberID
	}
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.Generation, sync.MemberID = movedGroup, answer.Generation, answer.MemberID
	sync.ProtocolType, sync.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	mine := kmsg.NewSyncGroupRequestGroupAssignment()
	mine.MemberID, mine.MemberAssignment = answer.MemberID, (&kmsg.ConsumerMemberAssignment{}).AppendTo(nil)
	sync.GroupAssignment = append(sync.GroupAssignment, mine)
	synced, err := sync.RequestWith(t.Context(), k)
	if err == nil {
		err = kerr.ErrorForCode(synced.ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
	return answer.Generation, answer.MemberID
}

func heartbeat(ctx context.Context, k *kgo.Client, generation int32, member string) (int16, error) {
	request := kmsg.NewPtrHeartbeatRequest()
	request.Group, request.Generation, request.MemberID = movedGroup, generation, member
	answer, err := request.RequestWith(ctx, k)
	if err != nil {
		return 0, err
	}
	return answer.ErrorCode, nil
}

func commitOne(ctx context.Context, k *kgo.Client, generation int32, member string) (int16, error) {
	request := kmsg.NewPtrOffsetCommitRequest()
	request.Group, request.Generation, request.MemberID = movedGroup, generation, member
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic = movedNames()[0]
	topic.Partitions = append(topic.Partitions, kmsg.NewOffsetCommitRequestTopicPartition())
	request.Topics = append(request.Topics, topic)
	answer, err := request.RequestWith(ctx, k)
	if err != nil {
		return 0, err
	}
	if len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1 {
		return 0, kerr.UnknownServerError
	}
	return answer.Topics[0].Partitions[0].ErrorCode, nil
}
