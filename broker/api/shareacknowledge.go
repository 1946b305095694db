package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/share"
)

// ShareAcknowledge, key 79, versions 1 to 2 (KIP-932, 1222). Kafka: KafkaApis.handleShareAcknowledgeRequest.
func shareAcknowledge(s *Services, c *Call, r *kmsg.ShareAcknowledgeRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.ShareAcknowledgeResponse)
	who, fault := s.shareOwner(c, r.GroupID, r.MemberID)
	var session *share.Session
	if fault == nil {
		session, fault = s.acknowledgingSession(who, r)
	}
	if fault != nil {
		answer.ErrorCode = fault.Code
		return answer
	}
	answer.AcquisitionLockTimeoutMillis = int32(s.Shares.Settings(who.Tenant, who.Group).Lock.Milliseconds())
	said := make([][]*share.Acknowledged, len(r.Topics))
	for i, t := range r.Topics {
		for _, p := range t.Partitions {
			batches := make([]shareAcknowledgement, 0, len(p.AcknowledgementBatches))
			for _, b := range p.AcknowledgementBatches {
				batches = append(batches, shareAcknowledgement{b.FirstOffset, b.LastOffset, b.AcknowledgeTypes})
			}
			said[i] = append(said[i], s.acknowledge(c, session, share.TopicPartition{TopicID: t.TopicID, Partition: p.Partition}, batches, r.IsRenewAck))
		}
	}
	leaders := map[int32]bool{}
	for i, t := range r.Topics {
		topic := kmsg.NewShareAcknowledgeResponseTopic()
		topic.TopicID = t.TopicID
		for _, a := range said[i] {
			topic.Partitions = append(topic.Partitions, s.shareAcknowledged(a, a.Await(c.Context), leaders))
		}
		answer.Topics = append(answer.Topics, topic)
	}
	for _, n := range s.leaderNodes(c, leaders) {
		answer.NodeEndpoints = append(answer.NodeEndpoints, kmsg.ShareAcknowledgeResponseNodeEndpoint{NodeID: n.ID, Host: n.host, Port: n.port, Rack: n.rack()})
	}
	if r.ShareSessionEpoch == share.Final {
		s.Shares.End(session)
	}
	return answer
}

// acknowledgingSession finds the session: one cannot begin by acknowledging.
func (s *Services) acknowledgingSession(who share.Owner, r *kmsg.ShareAcknowledgeRequest) (*share.Session, *kerr.Error) {
	switch {
	case r.ShareSessionEpoch == share.Initial || r.ShareSessionEpoch < share.Final:
		return nil, kerr.InvalidShareSessionEpoch
	case r.IsRenewAck && !s.Shares.Settings(who.Tenant, who.Group).Renew:
		return nil, kerr.InvalidRequest
	}
	return s.Shares.Session(who, r.ShareSessionEpoch)
}

func (s *Services) shareAcknowledged(a *share.Acknowledged, fault *kerr.Error, leaders map[int32]bool) kmsg.ShareAcknowledgeResponseTopicPartition {
	p := kmsg.NewShareAcknowledgeResponseTopicPartition()
	p.Partition = a.Partition
	p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = 0, 0
	if fault == nil {
		return p
	}
	p.ErrorCode, p.ErrorMessage = fault.Code, a.Message(fault)
	p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = noLeaderHint, noLeaderHint
	if namesLeader(fault.Code) {
		p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = s.currentLeader(a.TopicPartition)
		if p.CurrentLeader.LeaderID >= 0 {
			leaders[p.CurrentLeader.LeaderID] = true
		}
	}
	return p
}
