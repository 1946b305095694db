package api

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// RemoveRaftVoter, key 81, version 0 (KIP-853). Kafka: KafkaRaftClient.handleRemoveVoterRequest, RemoveVoterHandler.
//
// Deviations: a directory id of zeros is that of the node's voter; the only voter cannot be removed, which Kafka calls
// VOTER_NOT_FOUND and ours INVALID_REQUEST; a node that is there goes on following the log.
func removeRaftVoter(s *Services, c *Call, r *kmsg.RemoveRaftVoterRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.RemoveRaftVoterResponse)
	fault := s.voterFault(c, r.ClusterID)
	if fault == nil {
		voters := s.Metadata.Quorum().Voters
		if voter, found := memberOf(voters, r.VoterID, r.VoterDirectoryID); !found || !names(voter, r.VoterDirectoryID) {
			fault = refuse(kerr.VoterNotFound, fmt.Sprintf("Node %d is not part of the set of voters.", r.VoterID))
		} else if len(voters) == 1 {
			fault = refuse(kerr.InvalidRequest, fmt.Sprintf("Node %d is the only voter.", r.VoterID))
		}
	}
	if fault == nil {
		ctx, cancel := requestContext(c, 0)
		defer cancel()
		fault = s.Metadata.RemoveVoter(ctx, r.VoterID)
	}
	answer.ErrorCode, answer.ErrorMessage = s.outcome(fault)
	return answer
}
