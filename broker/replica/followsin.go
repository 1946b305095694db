package replica

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/image"
)

// The question whether a broker follows another, as OffsetForLeaderEpoch, and its answer.

// TopicIDTag is the tagged field of a topic in OffsetForLeaderEpoch by which a broker asks another whether it follows: it has
// the topic's id, 16 bytes, and names count for nothing. CurrentLeaderEpoch is the epoch in which the asker leads.
const TopicIDTag = 10000

// followsRequest asks whether a broker follows this one; order is that of the partitions, topic by topic.
func followsRequest(nodeID int32, keys []claimKey) (request *kmsg.OffsetForLeaderEpochRequest, order [][]claimKey) {
	request = kmsg.NewPtrOffsetForLeaderEpochRequest()
	request.ReplicaID = nodeID
	for _, key := range keys {
		if n := len(order); n == 0 || order[n-1][0].id != key.id {
			topic := kmsg.NewOffsetForLeaderEpochRequestTopic()
			topic.UnknownTags.Set(TopicIDTag, key.id[:])
			request.Topics, order = append(request.Topics, topic), append(order, nil)
		}
		last := len(order) - 1
		partition := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		partition.Partition, partition.CurrentLeaderEpoch, partition.LeaderEpoch = key.number, key.leaderEpoch, -1
		request.Topics[last].Partitions = append(request.Topics[last].Partitions, partition)
		order[last] = append(order[last], key)
	}
	return request, order
}

// confirmations reads an answer: who is at an earlier epoch does not lead in a later one, and who is at the same follows. An
// answer that is not what was asked for confirms nothing.
func confirmations(answer kmsg.Response, order [][]claimKey, claims map[claimKey]bool) {
	told, ok := answer.(*kmsg.OffsetForLeaderEpochResponse)
	if !ok || len(told.Topics) != len(order) {
		return
	}
	for i, topic := range told.Topics {
		if len(topic.Partitions) != len(order[i]) {
			return
		}
		for j, p := range topic.Partitions {
			confirms := p.ErrorCode == kerr.NotLeaderForPartition.Code || p.ErrorCode == kerr.UnknownLeaderEpoch.Code
			claims[order[i][j]] = confirms && p.Partition == order[i][j].number
		}
	}
}

// AskedTopic reads which topic a broker asks about that leads some of its partitions; false: it is another question.
func AskedTopic(t *kmsg.OffsetForLeaderEpochRequestTopic) (id image.TopicID, ok bool) {
	t.UnknownTags.Each(func(tag uint32, value []byte) {
		if tag == TopicIDTag && len(value) == len(id) {
			id, ok = image.TopicID(value), true
		}
	})
	return id, ok
}

// FollowsIn tells another broker that leads a partition in an epoch, as far as it knows, what this one's role says of it:
// NOT_LEADER_OR_FOLLOWER when this one follows in that epoch, UNKNOWN_LEADER_EPOCH when it has not heard of that epoch and so
// has not led in a later one. Anything else says that somebody else may lead, or have led.
func (m *Manager) FollowsIn(id image.TopicID, number, leaderEpoch int32) *kerr.Error {
	m.mu.RLock()
	caughtUp := m.caughtUp
	m.mu.RUnlock()
	if !caughtUp {
		return kerr.ReplicaNotAvailable
	}
	p := m.replica(id, number)
	if p == nil {
		return kerr.UnknownTopicOrPartition
	}
	s := p.leadership.Load()
	switch {
	case s == nil:
		return kerr.UnknownTopicOrPartition
	case s.LeaderEpoch < leaderEpoch:
		return kerr.UnknownLeaderEpoch
	case s.LeaderEpoch > leaderEpoch || s.Leader == m.cfg.NodeID:
		return kerr.FencedLeaderEpoch
	}
	return kerr.NotLeaderForPartition
}
