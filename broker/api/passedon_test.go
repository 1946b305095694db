package api

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group"
)

// Who leaves a group by a broker that does not coordinate it any more is heard by the one that does; who stays is told to look
// for it.
func TestWhoLeavesIsHeardWhereTheCoordinatorHasMoved(t *testing.T) {
	s, _ := groupServices(t)
	findCoordinator(s, groupCall(t), &kmsg.FindCoordinatorRequest{Version: 4, CoordinatorKeys: []string{"g"}}) // makes the topic
	other := besideController(t, s, listenerPeers{dial(t, testListener(t, s, internalListener))})
	other.Groups = group.New(group.Config{PartitionCount: func() int32 { return 3 }}) // it coordinates nothing
	t.Cleanup(other.Groups.Close)

	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Version, leave.Group = 5, "g"
	leave.Members = []kmsg.LeaveGroupRequestMember{{MemberID: "nobody"}}
	left := throughRow(other, groupCall(t), leave).(*kmsg.LeaveGroupResponse)
	if left.ErrorCode != 0 || len(left.Members) != 1 || left.Members[0].ErrorCode != kerr.UnknownMemberID.Code {
		t.Errorf("LeaveGroup is answered %+v", left)
	}
	for epoch, code := range map[int32]int16{-1: kerr.GroupIDNotFound.Code, -2: kerr.GroupIDNotFound.Code, 3: kerr.NotCoordinator.Code} {
		beat := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		beat.Version, beat.Group, beat.MemberID, beat.MemberEpoch = 1, "g", "nobody", epoch
		if epoch == -2 {
			beat.InstanceID = kmsg.StringPtr("fixed")
		}
		if answer := throughRow(other, groupCall(t), beat).(*kmsg.ConsumerGroupHeartbeatResponse); answer.ErrorCode != code {
			t.Errorf("a heartbeat with epoch %d is answered %+v", epoch, answer)
		}
	}
}

// Who leaves while the coordinator loads the group is heard when it has: nobody would ask again.
func TestWhoLeavesIsHeardWhenTheCoordinatorHasLoaded(t *testing.T) {
	s, _ := groupServices(t)
	findCoordinator(s, groupCall(t), &kmsg.FindCoordinatorRequest{Version: 4, CoordinatorKeys: []string{"g"}}) // makes the topic
	asked := 0
	loading := func() kmsg.Response {
		answer := kmsg.NewPtrLeaveGroupResponse()
		if asked++; asked < 3 {
			answer.ErrorCode = kerr.CoordinatorLoadInProgress.Code
		}
		return answer
	}
	leave := kmsg.NewPtrLeaveGroupRequest()
	if answer := s.heardOf(groupCall(t), "g", leave, loading).(*kmsg.LeaveGroupResponse); answer.ErrorCode != 0 {
		t.Errorf("who leaves is answered %+v", answer)
	}

	asked = 0
	passed := groupCall(t)
	passed.ForController = true
	answer := s.heardOf(passed, "g", leave, loading).(*kmsg.LeaveGroupResponse)
	if answer.ErrorCode != kerr.CoordinatorLoadInProgress.Code || asked != 1 {
		t.Errorf("what was passed on is answered %+v after %d attempts: the broker that passed it on asks again", answer, asked)
	}
}
