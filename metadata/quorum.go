package metadata

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/raft"
)

// QuorumState is the state of the metadata quorum, as DescribeQuorum shows it.
type QuorumState struct {
	LeaderID      int32 // -1: none
	LeaderEpoch   int32
	HighWatermark int64 // index behind the last committed entry
	Voters        []QuorumMember
	Observers     []QuorumMember
}

// QuorumMember is one member's place in the metadata log. Only the leader knows the places of others.
type QuorumMember struct {
	NodeID                      int32
	DirectoryID                 [16]byte
	Address                     string // of its inter-broker listener; "" for a node that is alone
	LogEndOffset                int64  // -1: unknown
	LastFetchTimestampMillis    int64  // when it last answered the leader; -1: unknown
	LastCaughtUpTimestampMillis int64  // when it last had everything that the leader had; -1: unknown
}

// Quorum describes the quorum.
func (n *Node) Quorum() QuorumState {
	s := n.quorum.State()
	return QuorumState{
		LeaderID: s.LeaderID, LeaderEpoch: int32(s.Term), HighWatermark: int64(s.CommitIndex) + 1,
		Voters: quorumMembers(s.Voters), Observers: quorumMembers(s.Observers),
	}
}

func quorumMembers(states []raft.MemberState) []QuorumMember {
	list := make([]QuorumMember, 0, len(states))
	for _, s := range states {
		m := QuorumMember{
			NodeID: s.NodeID, DirectoryID: s.DirectoryID, Address: s.Address, LogEndOffset: -1,
			LastFetchTimestampMillis: millis(s.LastContact), LastCaughtUpTimestampMillis: millis(s.CaughtUp),
		}
		if s.LastIndex >= 0 {
			m.LogEndOffset = s.LastIndex + 1
		}
		list = append(list, m)
	}
	return list
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return -1
	}
	return t.UnixMilli()
}

// LeaderAddress returns where the leader of the quorum listens for other nodes.
func (n *Node) LeaderAddress() (nodeID int32, address string, ok bool) {
	if nodeID, ok = n.Leader(); !ok {
		return -1, "", false
	}
	address, ok = n.quorum.MemberAddress(nodeID)
	return nodeID, address, ok
}

// VerifyLeader returns once a majority of voters has confirmed that this node is the controller, so that its image is not
// out of date. The error is a *controller.Refusal.
func (n *Node) VerifyLeader(ctx context.Context) error {
	if err := n.quorum.VerifyLeader(ctx); err != nil {
		return refusal(raft.ErrNotLeader)
	}
	return nil
}

// AddVoter gives a node a vote in the metadata quorum, once its log has caught up. The error is a *controller.Refusal.
func (n *Node) AddVoter(ctx context.Context, nodeID int32) error {
	return membership(n.quorum.AddVoter(ctx, nodeID))
}

// RemoveVoter takes a node's vote; it goes on following the log. The error is a *controller.Refusal.
func (n *Node) RemoveVoter(_ context.Context, nodeID int32) error {
	return membership(n.quorum.RemoveVoter(nodeID))
}

// ForgetMember removes a node that has left for good from the quorum; it may be none of it. The error is a
// *controller.Refusal.
func (n *Node) ForgetMember(_ context.Context, nodeID int32) error {
	return membership(n.quorum.Forget(nodeID))
}

func membership(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNoMember):
		return &controller.Refusal{Err: kerr.VoterNotFound, Message: fmt.Sprintf("%v.", err)}
	case errors.Is(err, raft.ErrVoters), errors.Is(err, raft.ErrInUse):
		return &controller.Refusal{Err: kerr.InvalidRequest, Message: fmt.Sprintf("%v.", err)}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &controller.Refusal{Err: kerr.RequestTimedOut, Message: fmt.Sprintf("%v.", err)}
	}
	return refusal(err)
}
