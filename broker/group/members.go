package group

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// JoinGroup answers when the generation is complete.
func (s *Service) JoinGroup(ctx context.Context, who Caller, r *kmsg.JoinGroupRequest) *kmsg.JoinGroupResponse {
	resp := s.joinGroup(ctx, who, r)
	resp.Version = r.Version
	return resp
}

func (s *Service) joinGroup(ctx context.Context, who Caller, r *kmsg.JoinGroupRequest) *kmsg.JoinGroupResponse {
	settings := s.cfg.Settings()
	switch {
	case !isMemberGroupID(r.Group):
		return joinError(r.MemberID, kerr.InvalidGroupID)
	case r.SessionTimeoutMillis < settings.MinSessionTimeoutMillis || r.SessionTimeoutMillis > settings.MaxSessionTimeoutMillis:
		return joinError(r.MemberID, kerr.InvalidSessionTimeout)
	case hasLongName(who, r):
		return joinError(r.MemberID, kerr.InvalidRequest)
	}
	r = ownJoin(r)
	key := groupKey{who.Tenant, r.Group}
	answer, err := s.ask(ctx, key, joinRequest{key: key, caller: who, body: r, newMemberID: newMemberID(who, r)})
	if err != nil {
		return joinError("", err)
	}
	return answer.(*kmsg.JoinGroupResponse)
}

// ownJoin copies what the group keeps: a request may alias the buffer that its connection reads into.
func ownJoin(r *kmsg.JoinGroupRequest) *kmsg.JoinGroupRequest {
	own := *r
	own.Protocols = make([]kmsg.JoinGroupRequestProtocol, len(r.Protocols))
	for i, p := range r.Protocols {
		p.Metadata = append([]byte(nil), p.Metadata...)
		own.Protocols[i] = p
	}
	return &own
}

// newMemberID is the id of whoever joins without one, in Kafka's form: people read them.
func newMemberID(who Caller, r *kmsg.JoinGroupRequest) string {
	if r.MemberID != "" {
		return ""
	}
	var u [16]byte
	rand.Read(u[:])
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	prefix := who.ClientID
	if r.InstanceID != nil {
		prefix = *r.InstanceID
	}
	return fmt.Sprintf("%s-%x-%x-%x-%x-%x", prefix, u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// hasLongName looks for what a record could not hold.
func hasLongName(who Caller, r *kmsg.JoinGroupRequest) bool {
	tooLong := func(s string) bool { return len(s) > maxNameBytes }
	for _, p := range r.Protocols {
		if tooLong(p.Name) {
			return true
		}
	}
	return tooLong(r.ProtocolType) || tooLong(r.MemberID) || tooLong(who.ClientID) || r.InstanceID != nil && tooLong(*r.InstanceID)
}

// SyncGroup answers when the leader's assignment is committed.
func (s *Service) SyncGroup(ctx context.Context, who Caller, r *kmsg.SyncGroupRequest) *kmsg.SyncGroupResponse {
	resp := s.syncGroup(ctx, who, r)
	resp.Version = r.Version
	return resp
}

func (s *Service) syncGroup(ctx context.Context, who Caller, r *kmsg.SyncGroupRequest) *kmsg.SyncGroupResponse {
	if r.Version >= 5 && (r.ProtocolType == nil || r.Protocol == nil) {
		return syncError(kerr.InconsistentGroupProtocol)
	}
	if !isMemberGroupID(r.Group) {
		return syncError(kerr.InvalidGroupID)
	}
	own := *r
	own.GroupAssignment = make([]kmsg.SyncGroupRequestGroupAssignment, len(r.GroupAssignment))
	for i, a := range r.GroupAssignment {
		a.MemberAssignment = append([]byte(nil), a.MemberAssignment...)
		own.GroupAssignment[i] = a
	}
	key := groupKey{who.Tenant, r.Group}
	answer, err := s.ask(ctx, key, syncRequest{key, &own})
	if err != nil {
		return syncError(err)
	}
	return answer.(*kmsg.SyncGroupResponse)
}

// Heartbeat answers at once. While the group loads, every heartbeat is fine: nobody can know better. When all is well,
// watch is not nil: the caller may keep the answer until there is news, which is its error code then.
func (s *Service) Heartbeat(ctx context.Context, who Caller, r *kmsg.HeartbeatRequest) (resp *kmsg.HeartbeatResponse, watch *Watch) {
	resp = r.ResponseKind().(*kmsg.HeartbeatResponse)
	if !isMemberGroupID(r.Group) {
		resp.ErrorCode = kerr.InvalidGroupID.Code
		return resp, nil
	}
	key := groupKey{who.Tenant, r.Group}
	answer, err := s.ask(ctx, key, heartbeatRequest{key, r})
	switch {
	case err == kerr.CoordinatorLoadInProgress:
	case err != nil:
		resp.ErrorCode = err.Code
	default:
		if held, quiet := answer.(*heldHeartbeat); quiet {
			return resp, held.watch
		}
		resp.ErrorCode = answer.(*kmsg.HeartbeatResponse).ErrorCode
	}
	return resp, nil
}

// LeaveGroup answers when the group's end, if this was its last member, is committed.
func (s *Service) LeaveGroup(ctx context.Context, who Caller, r *kmsg.LeaveGroupRequest) *kmsg.LeaveGroupResponse {
	resp := s.leaveGroup(ctx, who, r)
	resp.Version = r.Version
	if r.Version < 3 && resp.ErrorCode == 0 && len(resp.Members) == 1 {
		resp.ErrorCode = resp.Members[0].ErrorCode
	}
	return resp
}

func (s *Service) leaveGroup(ctx context.Context, who Caller, r *kmsg.LeaveGroupRequest) *kmsg.LeaveGroupResponse {
	members := r.Members
	if r.Version < 3 {
		m := kmsg.NewLeaveGroupRequestMember()
		m.MemberID = r.MemberID
		members = []kmsg.LeaveGroupRequestMember{m}
	}
	resp := kmsg.NewPtrLeaveGroupResponse()
	if !isMemberGroupID(r.Group) {
		resp.ErrorCode = kerr.InvalidGroupID.Code
		return resp
	}
	key := groupKey{who.Tenant, r.Group}
	answer, err := s.ask(ctx, key, leaveRequest{key, members})
	if err != nil {
		resp.ErrorCode = err.Code
		return resp
	}
	return answer.(*kmsg.LeaveGroupResponse)
}
