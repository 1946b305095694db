package broker

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestClassicMembersLearnOfARebalanceAtOnce: the answer to a heartbeat goes with the next request on its connection, with the
// rebalance, or when the coordinator gives up the group.
func TestClassicMembersLearnOfARebalanceAtOnce(t *testing.T) {
	b := startOneWith(t, map[string]string{"millrace.group.heartbeat.hold.max.ms": "10000", "group.initial.rebalance.delay.ms": "0"})
	first, second := rawClient(t, b), rawClient(t, b)
	find := kmsg.NewPtrFindCoordinatorRequest() // makes the offsets topic
	find.CoordinatorKeys = []string{"riders"}
	if _, err := first.Request(t.Context(), find); err != nil {
		t.Fatal(err)
	}
	one := joinClassic(t, first, "")
	member, generation := one.MemberID, one.Generation
	syncClassic(t, first, one)

	held := laterClassic(t, first, member, generation)
	code := whileWaiting(held, func() {
		if _, err := first.Request(t.Context(), kmsg.NewPtrMetadataRequest()); err != nil {
			t.Error(err)
		}
	})
	if code != 0 {
		t.Errorf("after another request: %v", kerr.ErrorForCode(code))
	}

	held = laterClassic(t, first, member, generation)
	two := make(chan *kmsg.JoinGroupResponse, 1)
	go func() { two <- joinClassic(t, second, "") }()
	if code := <-held; code != kerr.RebalanceInProgress.Code {
		// It came before the other member did: then the next one is told.
		code = classicBeat(t, first, member, generation)
		for code == 0 {
			code = classicBeat(t, first, member, generation)
		}
		if code != kerr.RebalanceInProgress.Code {
			t.Errorf("after another member came: %v", kerr.ErrorForCode(code))
		}
	}
	one = joinClassic(t, first, member)
	if other := <-two; other.Generation != one.Generation {
		t.Errorf("generations %d and %d", one.Generation, other.Generation)
	}
}

// joinClassic joins until it is a member of a generation.
func joinClassic(t *testing.T, c *kgo.Broker, member string) *kmsg.JoinGroupResponse {
	for {
		r := kmsg.NewPtrJoinGroupRequest()
		r.Group, r.MemberID, r.ProtocolType, r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = "riders", member, "consumer", 45_000, 60_000
		r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}}
		response, err := c.Request(t.Context(), r)
		if err != nil {
			t.Error(err)
			return r.ResponseKind().(*kmsg.JoinGroupResponse)
		}
		answer := response.(*kmsg.JoinGroupResponse)
		switch answer.ErrorCode {
		case 0:
			return answer
		case kerr.MemberIDRequired.Code:
			member = answer.MemberID
		case kerr.CoordinatorLoadInProgress.Code, kerr.NotCoordinator.Code, kerr.CoordinatorNotAvailable.Code:
			time.Sleep(10 * time.Millisecond)
		default:
			t.Errorf("join: %v", kerr.ErrorForCode(answer.ErrorCode))
			return answer
		}
	}
}

func syncClassic(t *testing.T, c *kgo.Broker, joined *kmsg.JoinGroupResponse) {
	t.Helper()
	r := kmsg.NewPtrSyncGroupRequest()
	r.Group, r.MemberID, r.Generation, r.ProtocolType, r.Protocol = "riders", joined.MemberID, joined.Generation, joined.ProtocolType, joined.Protocol
	r.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: joined.MemberID, MemberAssignment: []byte{0, 0}}}
	answer, err := c.Request(t.Context(), r)
	if err != nil || answer.(*kmsg.SyncGroupResponse).ErrorCode != 0 {
		t.Fatalf("sync: %+v, %v", answer, err)
	}
}

func classicBeat(t *testing.T, c *kgo.Broker, member string, generation int32) int16 {
	r := kmsg.NewPtrHeartbeatRequest()
	r.Group, r.MemberID, r.Generation = "riders", member, generation
	answer, err := c.Request(t.Context(), r)
	if err != nil {
		t.Error(err)
		return kerr.UnknownServerError.Code
	}
	return answer.(*kmsg.HeartbeatResponse).ErrorCode
}

func laterClassic(t *testing.T, c *kgo.Broker, member string, generation int32) <-chan int16 {
	codes := make(chan int16, 1)
	go func() { codes <- classicBeat(t, c, member, generation) }()
	return codes
}
