package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata"
	"github.com/millrace-io/millrace/security"
)

// DescribeQuorum, key 55, versions 0 to 2. Kafka: ControllerApis.handleDescribeQuorum, KafkaRaftClient.
//
// The one partition is __cluster_metadata-0; its offsets are indexes of the metadata log.
//
// Only the leader of the quorum knows how far the others are, so the request is forwarded to it. While there is none, any node says so
// (leader -1); Kafka leaves the request unanswered then. The one listener of a node is
// that for other nodes; a node that is alone has none.
func describeQuorum(s *Services, c *Call, r *kmsg.DescribeQuorumRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.DescribeQuorumResponse)
	answer.ErrorMessage = kmsg.StringPtr("")
	if !s.allowedOnCluster(c, security.OperationDescribe) {
		answer.ErrorCode, answer.ErrorMessage = s.outcome(kerr.ClusterAuthorizationFailed)
		return answer
	}
	quorum, shown := s.Metadata.Quorum(), false
	for _, asked := range r.Topics {
		topic := kmsg.DescribeQuorumResponseTopic{Topic: asked.Topic}
		for _, p := range asked.Partitions {
			known := asked.Topic == clusterMetadataTopic && p.Partition == 0
			topic.Partitions = append(topic.Partitions, quorumPartition(s, p.Partition, known, quorum))
			shown = shown || known
		}
		answer.Topics = append(answer.Topics, topic)
	}
	if shown {
		for _, member := range quorum.Voters {
			answer.Nodes = append(answer.Nodes, s.quorumNode(member))
		}
	}
	return answer
}

func quorumPartition(s *Services, number int32, known bool, quorum metadata.QuorumState) kmsg.DescribeQuorumResponseTopicPartition {
	partition := kmsg.DescribeQuorumResponseTopicPartition{Partition: number, ErrorMessage: kmsg.StringPtr("")}
	if !known {
		partition.ErrorCode, partition.ErrorMessage = s.outcome(kerr.UnknownTopicOrPartition)
		return partition
	}
	partition.LeaderID, partition.LeaderEpoch, partition.HighWatermark = quorum.LeaderID, quorum.LeaderEpoch, quorum.HighWatermark
	partition.CurrentVoters, partition.Observers = quorumMembers(quorum.Voters), quorumMembers(quorum.Observers)
	return partition
}

func quorumMembers(members []metadata.QuorumMember) []kmsg.DescribeQuorumResponseTopicPartitionReplicaState {
	var states []kmsg.DescribeQuorumResponseTopicPartitionReplicaState
	for _, member := range members {
		states = append(states, kmsg.DescribeQuorumResponseTopicPartitionReplicaState{
			ReplicaID: member.NodeID, ReplicaDirectoryID: member.DirectoryID, LogEndOffset: member.LogEndOffset,
			LastFetchTimestamp: member.LastFetchTimestampMillis, LastCaughtUpTimestamp: member.LastCaughtUpTimestampMillis,
		})
	}
	return states
}

func (s *Services) quorumNode(member metadata.QuorumMember) kmsg.DescribeQuorumResponseNode {
	node := kmsg.DescribeQuorumResponseNode{NodeID: member.NodeID}
	if host, port := splitAddress(member.Address); port != 0 {
		node.Listeners = []kmsg.DescribeQuorumResponseNodeListener{{Name: s.InternalListener, Host: host, Port: uint16(port)}}
	}
	return node
}
