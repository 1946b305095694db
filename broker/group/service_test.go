package group

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/millrace-io/millrace/broker/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memoryLog is an offsets topic in memory; a write is committed a millisecond later.
type memoryLog struct {
	mu         sync.Mutex
	partitions map[int32][]record.Batch
	readErr    error
	appends    int
}

func (l *memoryLog) Append(_ context.Context, partition int32, b record.Batch, _ int32) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.SetBaseOffset(l.end(partition))
	l.partitions[partition] = append(l.partitions[partition], b)
	l.appends++
	return b.NextOffset(), nil
}

func (l *memoryLog) end(partition int32) int64 {
	batches := l.partitions[partition]
	if len(batches) == 0 {
		return 0
	}
	return batches[len(batches)-1].NextOffset()
}

func (l *memoryLog) AwaitCommitted(_ int32, _ int64, _ int32, done func(error)) {
	time.AfterFunc(time.Millisecond, func() { done(nil) })
}

func (l *memoryLog) Read(_ context.Context, partition int32, offset int64, _ int) ([]byte, int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.readErr != nil {
		return nil, 0, l.readErr
	}
	for _, b := range l.partitions[partition] {
		if b.NextOffset() > offset {
			return b, l.end(partition), nil
		}
	}
	return nil, l.end(partition), nil
}

func (l *memoryLog) LogStartOffset(int32) (int64, error) { return 0, nil }

// service over all 50 partitions of a memory log.
func service(t *testing.T, registerer prometheus.Registerer) (*Service, *memoryLog) {
	l := &memoryLog{partitions: map[int32][]record.Batch{}}
	s := New(Config{Log: l, PartitionCount: func() int32 { return 50 }, Registerer: registerer})
	t.Cleanup(s.Close)
	for partition := range int32(50) {
		s.OnElection(partition, 0)
	}
	synctest.Wait()
	return s, l
}

func caller(id string) Caller {
	return Caller{Tenant: defaultTenant, ClientID: id, ClientHost: "/127.0.0.1"}
}

// join does what a client does: it asks for an id, then joins.
func join(s *Service, client, group string, topics ...string) *kmsg.JoinGroupResponse {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version, r.Group, r.SessionTimeoutMillis, r.RebalanceTimeoutMillis, r.ProtocolType = 9, group, 45000, 300000, "consumer"
	r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: subscription(topics...)}}
	first := s.JoinGroup(context.Background(), caller(client), r)
	if first.ErrorCode != kerr.MemberIDRequired.Code {
		return first
	}
	r.MemberID = first.MemberID
	return s.JoinGroup(context.Background(), caller(client), r)
}

func TestAFleetJoinsWithinTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := service(t, nil)
		const members, partitions = 20, 200
		started := time.Now()
		var all sync.WaitGroup
		generations := make([]int32, members)
		for i := range members {
			all.Go(func() {
				joined := join(s, fmt.Sprintf("client-%d", i), "fleet", "t")
				r := kmsg.NewPtrSyncGroupRequest()
				r.Version, r.Group, r.Generation, r.MemberID, r.ProtocolType, r.Protocol = 5, "fleet", joined.Generation, joined.MemberID, joined.ProtocolType, joined.Protocol
				for _, m := range joined.Members {
					r.GroupAssignment = append(r.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: m.MemberID, MemberAssignment: make([]byte, 4*partitions/members)})
				}
				synced := s.SyncGroup(context.Background(), caller("client"), r)
				if synced.ErrorCode != 0 || len(synced.MemberAssignment) != 4*partitions/members {
					t.Errorf("member %d: error %d, %d bytes assigned", i, synced.ErrorCode, len(synced.MemberAssignment))
				}
				generations[i] = joined.Generation
			})
		}
		all.Wait()
		delay := millis(DefaultSettings().InitialRebalanceDelayMillis)
		if took := time.Since(started); took > delay+5*time.Millisecond {
			t.Errorf("took %v", took)
		}
		for i, g := range generations {
			if g != 1 {
				t.Errorf("member %d is in generation %d", i, g)
			}
		}
		writes := l.appends
		for range 100 {
			s.Heartbeat(context.Background(), caller("client"), &kmsg.HeartbeatRequest{Group: "fleet"})
		}
		if l.appends != writes || writes != 1 {
			t.Errorf("%d writes for the generation, %d after heartbeats", writes, l.appends)
		}
	})
}

func TestGroupsSurviveAnElection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := service(t, nil)
		for i := range 10 {
			commit(t, s, fmt.Sprintf("g%d", i), "t", int64(i))
		}
		for partition := range int32(50) {
			s.OnResignation(partition)
			s.OnElection(partition, 1)
		}
		synctest.Wait()
		for i := range 10 {
			if got := fetch(s, fmt.Sprintf("g%d", i), "t"); got != fmt.Sprintf("0 %d", i) {
				t.Errorf("group %d: %s", i, got)
			}
		}
		seen := 0
		for o := range s.CommittedOffsets(context.Background()) {
			seen++
			if o.Group != fmt.Sprintf("g%d", o.Offset) || o.Topic != "t" || o.Tenant != defaultTenant {
				t.Errorf("committed %+v", o)
			}
		}
		if seen != 10 {
			t.Errorf("%d committed offsets", seen)
		}
	})
}

// What metrics ask does not wait for what is being committed: where the log cannot be written it would wait for long.
func TestCommittedOffsetsAreToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := service(t, nil)
		commit(t, s, "g", "t", 1)
		committed := make(chan struct{})
		go func() {
			defer close(committed)
			commit(t, s, "g", "t", 2)
		}()
		synctest.Wait()
		began, seen := time.Now(), 0
		for range s.CommittedOffsets(context.Background()) {
			seen++
		}
		if took := time.Since(began); took > 0 || seen != 1 {
			t.Errorf("%d offsets were told after %v", seen, took)
		}
		<-committed
	})
}

func commit(t *testing.T, s *Service, group, topic string, offset int64) {
	t.Helper()
	r := kmsg.NewPtrOffsetCommitRequest()
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = offset
	r.Version, r.Group, r.Generation = 9, group, -1
	r.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	if code := s.OffsetCommit(context.Background(), caller("c"), r).Topics[0].Partitions[0].ErrorCode; code != 0 {
		t.Fatalf("commit: %v", kerr.ErrorForCode(code))
	}
}

// fetch returns the error code and the offset of partition 0.
func fetch(s *Service, group, topic string) string {
	r := kmsg.NewOffsetFetchRequestGroup()
	r.Group = group
	r.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: topic, Partitions: []int32{0}}}
	g := s.OffsetFetch(context.Background(), caller("c"), &r, false)
	if g.ErrorCode != 0 {
		return fmt.Sprint(g.ErrorCode)
	}
	return fmt.Sprint(g.Topics[0].Partitions[0].ErrorCode, " ", g.Topics[0].Partitions[0].Offset)
}

func TestTenantsDoNotMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := service(t, nil)
		commit(t, s, "g", "t", 5)
		acme := Caller{Tenant: "acme"}
		if groups := s.ListGroups(context.Background(), acme, &kmsg.ListGroupsRequest{Version: 5}).Groups; len(groups) != 0 {
			t.Errorf("acme sees %v", groups)
		}
		r := kmsg.NewOffsetFetchRequestGroup()
		r.Group = "g"
		if g := s.OffsetFetch(context.Background(), acme, &r, false); len(g.Topics) != 0 {
			t.Errorf("acme reads %v", g.Topics)
		}
		if d := s.DeleteGroups(context.Background(), acme, []string{"g"}); d[0].ErrorCode != kerr.GroupIDNotFound.Code {
			t.Errorf("acme deletes: %v", kerr.ErrorForCode(d[0].ErrorCode))
		}
		s.OnTopicDeleted("acme", "t")
		if got := fetch(s, "g", "t"); got != "0 5" {
			t.Errorf("acme's deletion of its own topic leaves %s", got)
		}
	})
}

func TestRefusalsBeforeTheShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := service(t, nil)
		ctx, who := context.Background(), caller("c")
		long := strings.Repeat("x", maxNameBytes+1)
		joining := func(group string, session int32, change func(*kmsg.JoinGroupRequest)) int16 {
			r := kmsg.NewPtrJoinGroupRequest()
			r.Version, r.Group, r.SessionTimeoutMillis, r.ProtocolType = 9, group, session, "consumer"
			change(r)
			return s.JoinGroup(ctx, who, r).ErrorCode
		}
		keep := func(*kmsg.JoinGroupRequest) {}
		tests := []struct {
			name string
			got  int16
			want *kerr.Error
		}{
			{"join without group", joining("", 10000, keep), kerr.InvalidGroupID},
			{"join with a long group", joining(long, 10000, keep), kerr.InvalidGroupID},
			{"session too short", joining("g", 5999, keep), kerr.InvalidSessionTimeout},
			{"session too long", joining("g", 1800001, keep), kerr.InvalidSessionTimeout},
			{"long instance", joining("g", 10000, func(r *kmsg.JoinGroupRequest) { r.InstanceID = &long }), kerr.InvalidRequest},
			{"long protocol", joining("g", 10000, func(r *kmsg.JoinGroupRequest) {
				r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: long}}
			}), kerr.InvalidRequest},
			{"sync without group", s.SyncGroup(ctx, who, &kmsg.SyncGroupRequest{}).ErrorCode, kerr.InvalidGroupID},
			{"sync without protocol", s.SyncGroup(ctx, who, &kmsg.SyncGroupRequest{Version: 5, Group: "g"}).ErrorCode, kerr.InconsistentGroupProtocol},
			{"heartbeat without group", beatCode(s.Heartbeat(ctx, who, &kmsg.HeartbeatRequest{})), kerr.InvalidGroupID},
			{"leave without group", s.LeaveGroup(ctx, who, &kmsg.LeaveGroupRequest{}).ErrorCode, kerr.InvalidGroupID},
			{"old leave of nobody", s.LeaveGroup(ctx, who, &kmsg.LeaveGroupRequest{Version: 2, Group: "g", MemberID: "x"}).ErrorCode, kerr.UnknownMemberID},
			{"delete offsets without group", s.OffsetDelete(ctx, who, &kmsg.OffsetDeleteRequest{}).ErrorCode, kerr.InvalidGroupID},
		}
		for _, tt := range tests {
			if tt.got != tt.want.Code {
				t.Errorf("%s: %v, want %v", tt.name, kerr.ErrorForCode(tt.got), tt.want)
			}
		}
	})
}

func TestWithoutThePartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &memoryLog{partitions: map[int32][]record.Batch{}, readErr: kerr.KafkaStorageError}
		s := New(Config{Log: l, PartitionCount: func() int32 { return 50 }})
		defer s.Close()
		ctx, who := context.Background(), caller("c")
		ids := []string{"a", "orders", "a"}
		for i, g := range s.DescribeGroups(ctx, who, ids, 5) {
			if g.Group != ids[i] || g.ErrorCode != kerr.NotCoordinator.Code {
				t.Errorf("described %q: %v", g.Group, kerr.ErrorForCode(g.ErrorCode))
			}
		}
		if got := fetch(s, "a", "t"); got != fmt.Sprint(kerr.NotCoordinator.Code) {
			t.Errorf("fetch: %s", got)
		}
		s.OnElection(s.PartitionFor(defaultTenant, "a"), 1)
		synctest.Wait()
		if code := beatCode(s.Heartbeat(ctx, who, &kmsg.HeartbeatRequest{Group: "a"})); code != 0 {
			t.Errorf("heartbeat while the group loads: %v", kerr.ErrorForCode(code))
		}
		if code := s.ListGroups(ctx, who, &kmsg.ListGroupsRequest{}).ErrorCode; code != kerr.CoordinatorLoadInProgress.Code {
			t.Errorf("list while a partition loads: %v", kerr.ErrorForCode(code))
		}
		if got := fetch(s, "a", "t"); got != fmt.Sprint(kerr.CoordinatorLoadInProgress.Code) {
			t.Errorf("fetch while the group loads: %s", got)
		}
	})
}

func TestListFilters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := service(t, nil)
		commit(t, s, "simple", "t", 1)
		join(s, "client", "member", "t")
		for _, tt := range []struct {
			states, types []string
			want          string
		}{
			{nil, nil, "member simple"},
			{[]string{"Empty"}, nil, "simple"},
			{[]string{" completingREBALANCE "}, nil, "member"},
			{[]string{"Stable"}, nil, ""},
			{nil, []string{"classic"}, "member simple"},
			{nil, []string{"Consumer"}, ""},
		} {
			var got []string
			for _, g := range s.ListGroups(context.Background(), caller("c"), &kmsg.ListGroupsRequest{Version: 5, StatesFilter: tt.states, TypesFilter: tt.types}).Groups {
				got = append(got, g.Group)
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("%v %v: %v, want %s", tt.states, tt.types, got, tt.want)
			}
		}
	})
}

func TestMetricsFollowTheGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		s, _ := service(t, registry)
		commit(t, s, "simple", "t", 1)
		commit(t, s, "simple", "u", 1)
		s.OnTopicDeleted(defaultTenant, "u")
		join(s, "client", "member", "t")
		synctest.Wait()
		gather := func() string {
			var values []string
			families, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				for _, m := range f.GetMetric() {
					if v := m.GetGauge().GetValue() + m.GetCounter().GetValue(); v != 0 {
						name := strings.TrimPrefix(f.GetName(), "millrace_group_coordinator_")
						for _, l := range m.GetLabel() {
							name += "/" + l.GetValue()
						}
						values = append(values, fmt.Sprintf("%s %v", name, v))
					}
				}
			}
			return strings.Join(values, ", ")
		}
		if got, want := gather(), "committed_offsets 1, groups/CompletingRebalance/classic 1, groups/Empty/classic 1, loaded_partitions 50, offset_commits_total 2, offset_deletions_total 1"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		for partition := range int32(50) {
			s.OnResignation(partition)
		}
		if got, want := gather(), "offset_commits_total 2, offset_deletions_total 1"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
			t.Errorf("lint: %v, %v", problems, err)
		}
	})
}

func TestSettingsChangeWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		resolved := 0
		settings := cached(func() Settings { resolved++; return Settings{MaxSize: int32(resolved)} }, time.Now)
		for range 100 {
			settings()
		}
		time.Sleep(settingsMaxAge)
		if got := settings().MaxSize; got != 2 || resolved != 2 {
			t.Errorf("size %d, resolved %d times", got, resolved)
		}
	})
}

func beatCode(r *kmsg.HeartbeatResponse, _ *Watch) int16 { return r.ErrorCode }

// uncommitted is a memory log whose writes nobody commits.
type uncommitted struct{ *memoryLog }

func (uncommitted) AwaitCommitted(int32, int64, int32, func(error)) {}

// leaderships are those of a broker that may have a successor.
type leaderships struct {
	doubtful, succeeded bool
	confirming          int // times that others were asked
}

func (l *leaderships) Standing(int32) (leaderEpoch int32, doubtful bool) { return 7, l.doubtful }

func (l *leaderships) Confirm(_ context.Context, _, leaderEpoch int32) bool {
	l.confirming++
	return leaderEpoch == 7 && !l.succeeded
}

// Who was cut off from all others may not tell offsets, and need not wait for writes that nobody commits to say so.
func TestAFormerCoordinatorRefusesOffsetsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := uncommitted{&memoryLog{partitions: map[int32][]record.Batch{}}}
		led := &leaderships{}
		s := New(Config{Log: l, PartitionCount: func() int32 { return 1 }, Leaderships: led})
		defer s.Close()
		s.OnElection(0, 0)
		synctest.Wait()
		commit := kmsg.NewPtrOffsetCommitRequest()
		commit.Version, commit.Group, commit.Generation = 9, "a", -1
		commit.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 1}}}}
		var writing sync.WaitGroup
		writing.Go(func() { s.OffsetCommit(context.Background(), caller("c"), commit) })
		synctest.Wait()

		led.doubtful = true
		asked := time.Now()
		if got := fetch(s, "a", "t"); got != fmt.Sprint(kerr.NotCoordinator.Code) || time.Since(asked) > 0 {
			t.Errorf("%s after %v", got, time.Since(asked))
		}
		led.doubtful = false
		if got := fetch(s, "a", "t"); got != fmt.Sprint(kerr.NotCoordinator.Code) || time.Since(asked) == 0 {
			t.Errorf("who does not doubt waits for what was written before: %s after %v", got, time.Since(asked))
		}
		writing.Wait()
	})
}

// Offsets that were read while somebody else may have been elected are told only if nobody was.
func TestOffsetsAreToldIfNobodyElseWasElected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &leaderships{}
		s := New(Config{Log: &memoryLog{partitions: map[int32][]record.Batch{}}, PartitionCount: func() int32 { return 1 }, Leaderships: l})
		defer s.Close()
		s.OnElection(0, 0)
		synctest.Wait()
		if got := fetch(s, "a", "t"); got == fmt.Sprint(kerr.NotCoordinator.Code) || l.confirming != 1 {
			t.Errorf("%s, after others were asked %d times", got, l.confirming)
		}
		l.succeeded = true
		if got := fetch(s, "a", "t"); got != fmt.Sprint(kerr.NotCoordinator.Code) {
			t.Errorf("with a successor: %s", got)
		}
	})
}
