package api

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata"
	"github.com/millrace-io/millrace/security"
)

// AddRaftVoter, key 80, versions 0 and 1 (KIP-853). Kafka: KafkaRaftClient.handleAddVoterRequest, AddVoterHandler.
//
// It gives a vote to a node that follows the metadata log already: one comes to follow by its configuration (cluster.join).
//
// Deviations: the quorum knows where its members are, so the listeners of the request are not looked at; a directory id of
// zeros is that of the node's member; the answer always waits until the vote is committed.
func addRaftVoter(s *Services, c *Call, r *kmsg.AddRaftVoterRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.AddRaftVoterResponse)
	fault := s.voterFault(c, r.ClusterID)
	if fault == nil {
		fault = s.newVoterFault(r.VoterID, r.VoterDirectoryID)
	}
	if fault == nil {
		ctx, cancel := requestContext(c, r.TimeoutMillis)
		defer cancel()
		fault = s.Metadata.AddVoter(ctx, r.VoterID)
	}
	answer.ErrorCode, answer.ErrorMessage = s.outcome(fault)
	return answer
}

// voterFault is what is wrong with any request that changes the voters.
func (s *Services) voterFault(c *Call, clusterID *string) error {
	switch {
	case !s.allowedOnCluster(c, security.OperationAlter):
		return kerr.ClusterAuthorizationFailed
	case clusterID != nil && *clusterID != s.Metadata.ClusterID():
		return refuse(kerr.InconsistentClusterID, fmt.Sprintf("The given id %q doesn't match the cluster id %q", *clusterID, s.Metadata.ClusterID()))
	case !s.Metadata.IsController():
		return kerr.NotController
	}
	return nil
}

func (s *Services) newVoterFault(id int32, directory [16]byte) error {
	quorum := s.Metadata.Quorum()
	for _, voter := range quorum.Voters {
		if voter.NodeID == id {
			return refuse(kerr.DuplicateVoter, fmt.Sprintf("The voter id for node %d is already part of the set of voters.", id))
		}
	}
	member, found := memberOf(quorum.Observers, id, directory)
	switch {
	case !found:
		return refuse(kerr.VoterNotFound, fmt.Sprintf("Node %d does not follow the metadata log: start it with cluster.join, then add it.", id))
	case !names(member, directory):
		return refuse(kerr.InvalidVoterKey, fmt.Sprintf("Node %d has another directory id.", id))
	}
	return nil
}

// memberOf finds a node among the members: if it has several, the one with that directory.
func memberOf(members []metadata.QuorumMember, id int32, directory [16]byte) (found metadata.QuorumMember, ok bool) {
	for _, m := range members {
		if m.NodeID == id && (!ok || names(m, directory)) {
			found, ok = m, true
		}
	}
	return found, ok
}

// names holds for any directory where the request names none.
func names(m metadata.QuorumMember, directory [16]byte) bool {
	return directory == [16]byte{} || m.DirectoryID == directory
}
