package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/controller"
)

// AssignReplicasToDirs, key 73, version 0 (KIP-858). Kafka: ControllerApis.handleAssignReplicasToDirs,
// ReplicationControlManager.handleAssignReplicasToDirs. Spoken between brokers only.
//
// Deviation: a replica is told of only when its broker cannot use its log.
func assignReplicasToDirs(s *Services, c *Call, r *kmsg.AssignReplicasToDirsRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.AssignReplicasToDirsResponse)
	if !speaksFor(c, r.BrokerID) {
		answer.ErrorCode = kerr.ClusterAuthorizationFailed.Code
		return answer
	}
	ctx, cancel := requestContext(c, 0)
	defer cancel()
	faults, err := s.Metadata.AssignDirectories(ctx, r.BrokerID, r.BrokerEpoch, assignments(r))
	if err != nil {
		answer.ErrorCode, _ = s.outcome(err)
		return answer
	}
	for _, d := range r.Directories {
		directory := kmsg.AssignReplicasToDirsResponseDirectory{ID: d.ID}
		for _, t := range d.Topics {
			topic := kmsg.AssignReplicasToDirsResponseDirectoryTopic{TopicID: t.TopicID}
			for _, p := range t.Partitions {
				code, _ := s.outcome(faults[0])
				faults = faults[1:]
				topic.Partitions = append(topic.Partitions, kmsg.AssignReplicasToDirsResponseDirectoryTopicPartition{Partition: p.Partition, ErrorCode: code})
			}
			directory.Topics = append(directory.Topics, topic)
		}
		answer.Directories = append(answer.Directories, directory)
	}
	return answer
}

func assignments(r *kmsg.AssignReplicasToDirsRequest) []controller.DirectoryAssignment {
	var list []controller.DirectoryAssignment
	for _, d := range r.Directories {
		for _, t := range d.Topics {
			for _, p := range t.Partitions {
				list = append(list, controller.DirectoryAssignment{TopicID: t.TopicID, Partition: p.Partition, Directory: d.ID})
			}
		}
	}
	return list
}
