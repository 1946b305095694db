package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/image"
)

// partitionView is partitions as one answer of Metadata or DescribeTopicPartitions shows them.
type partitionView struct {
	version   int16 // of Metadata
	image     *image.Image
	reachable []node
}

func (v partitionView) topic(t *image.Topic) kmsg.MetadataResponseTopic {
	topic := topicOutcome(&t.Name, t.ID, 0)
	topic.IsInternal = t.Internal
	topic.Partitions = make([]kmsg.MetadataResponseTopicPartition, 0, t.PartitionCount())
	for number, p := range t.Partitions() {
		topic.Partitions = append(topic.Partitions, v.partition(number, p))
	}
	return topic
}

func (v partitionView) partition(number int32, p *image.Partition) kmsg.MetadataResponseTopicPartition {
	shown := kmsg.NewMetadataResponseTopicPartition()
	shown.Partition = number
	shown.Leader, shown.LeaderEpoch, shown.ErrorCode = p.Leader, p.LeaderEpoch, v.leaderFault(p)
	if shown.ErrorCode != 0 {
		shown.Leader = -1
	}
	shown.Replicas, shown.ISR, shown.OfflineReplicas = p.Replicas, p.ISR, v.offline(p)
	if v.version == 0 {
		v.hideUnreachable(&shown)
	}
	return shown
}

// leaderFault is the error of a partition whose leader the caller cannot reach.
func (v partitionView) leaderFault(p *image.Partition) int16 {
	switch {
	case v.isReachable(p.Leader):
		return 0
	case v.version >= 6 && v.image.Broker(p.Leader) != nil && !v.image.Broker(p.Leader).Fenced:
		return kerr.ListenerNotFound.Code
	}
	return kerr.LeaderNotAvailable.Code
}

// hideUnreachable does what version 0 asks for: replicas that cannot be reached are left out, and said to be missing.
func (v partitionView) hideUnreachable(p *kmsg.MetadataResponseTopicPartition) {
	replicas, isr := v.onlyReachable(p.Replicas), v.onlyReachable(p.ISR)
	if p.ErrorCode == 0 && (len(replicas) < len(p.Replicas) || len(isr) < len(p.ISR)) {
		p.ErrorCode = kerr.ReplicaNotAvailable.Code
	}
	p.Replicas, p.ISR = replicas, isr
}

func (v partitionView) onlyReachable(ids []int32) []int32 {
	kept := make([]int32, 0, len(ids))
	for _, id := range ids {
		if v.isReachable(id) {
			kept = append(kept, id)
		}
	}
	return kept
}

// offline returns the replicas on brokers that are gone, fenced or without the caller's listener.
func (v partitionView) offline(p *image.Partition) []int32 {
	var offline []int32
	for _, id := range p.Replicas {
		if !v.isReachable(id) {
			offline = append(offline, id)
		}
	}
	return offline
}

func (v partitionView) isReachable(id int32) bool {
	for _, n := range v.reachable {
		if n.ID == id {
			return true
		}
	}
	return false
}
