package api

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/broker/share"
)

// ShareFetch, key 78, versions 1 to 2 (KIP-932, 1206, 1222). Kafka: KafkaApis.handleShareFetchRequest, SharePartitionManager.
//
// What it acknowledges is noted first, and answered together with what was fetched.
//
// Deviations: an answer has at most 8 MiB of records, or one batch; markers and records of aborted transactions are never
// acquired, so that nobody need say that they are gaps.
func shareFetch(s *Services, c *Call, r *kmsg.ShareFetchRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.ShareFetchResponse)
	who, fault := s.shareOwner(c, r.GroupID, r.MemberID)
	if fault == nil {
		fault = shareFetchFault(s, who, r)
	}
	var session *share.Session
	if fault == nil {
		session, fault = s.shareSession(who, r)
	}
	if fault != nil {
		answer.ErrorCode = fault.Code
		return answer
	}
	answer.AcquisitionLockTimeoutMillis = int32(s.Shares.Settings(who.Tenant, who.Group).Lock.Milliseconds())
	said := s.fetchAcknowledgements(c, session, r)
	var fetched []share.Fetched
	if r.ShareSessionEpoch != share.Final && !r.IsRenewAck {
		fetched = s.Shares.Fetch(c.Context, session, share.FetchRequest{
			MaxWait: time.Duration(max(r.MaxWaitMillis, 0)) * time.Millisecond, MaxBytes: min(int(r.MaxBytes), s.MaxFetchBytes),
			MaxRecords: int64(r.MaxRecords), BatchSize: int64(r.BatchSize), Strict: r.ShareAcquireMode == 1,
			Find: func(tp share.TopicPartition) (*replica.Partition, *kerr.Error) { return s.shareReplica(c, tp) },
		})
	}
	told := shareFetchAnswer{s: s, answer: answer, leaders: map[int32]bool{}}
	for _, f := range fetched {
		told.fetched(f)
	}
	for _, a := range said {
		told.acknowledged(a, a.Await(c.Context))
	}
	told.endpoints(c)
	if r.ShareSessionEpoch == share.Final {
		s.Shares.End(session)
	}
	return answer
}

// shareFetchFault finds what contradicts itself.
func shareFetchFault(s *Services, who share.Owner, r *kmsg.ShareFetchRequest) *kerr.Error {
	acknowledges, fetches := false, false
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			acknowledges = acknowledges || len(p.AcknowledgementBatches) > 0
			fetches = fetches || len(p.AcknowledgementBatches) == 0
		}
	}
	switch {
	case r.ShareSessionEpoch == share.Initial && acknowledges:
		return kerr.InvalidRequest
	case r.ShareSessionEpoch < share.Final || r.ShareAcquireMode < 0 || r.ShareAcquireMode > 1:
		return kerr.InvalidRequest
	case !r.IsRenewAck:
		return nil
	case r.MaxBytes != 0 || r.MinBytes != 0 || r.MaxRecords != 0 || r.MaxWaitMillis != 0 || fetches:
		return kerr.InvalidRequest // a renewal must not wait for records
	case !s.Shares.Settings(who.Tenant, who.Group).Renew:
		return kerr.InvalidRequest
	}
	return nil
}

// shareSession finds or begins the session of the request, and brings it up to date.
func (s *Services) shareSession(who share.Owner, r *kmsg.ShareFetchRequest) (session *share.Session, fault *kerr.Error) {
	if r.ShareSessionEpoch == share.Initial {
		session, fault = s.Shares.Open(who)
	} else {
		session, fault = s.Shares.Session(who, r.ShareSessionEpoch)
	}
	if fault != nil || r.ShareSessionEpoch == share.Final {
		return session, fault
	}
	var add, forget []share.TopicPartition
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			add = append(add, share.TopicPartition{TopicID: t.TopicID, Partition: p.Partition})
		}
	}
	for _, t := range r.ForgottenTopicsData {
		for _, p := range t.Partitions {
			forget = append(forget, share.TopicPartition{TopicID: t.TopicID, Partition: p})
		}
	}
	return session, s.Shares.Update(session, add, forget)
}

func (s *Services) fetchAcknowledgements(c *Call, session *share.Session, r *kmsg.ShareFetchRequest) (all []*share.Acknowledged) {
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			if len(p.AcknowledgementBatches) == 0 {
				continue
			}
			said := make([]shareAcknowledgement, 0, len(p.AcknowledgementBatches))
			for _, b := range p.AcknowledgementBatches {
				said = append(said, shareAcknowledgement{b.FirstOffset, b.LastOffset, b.AcknowledgeTypes})
			}
			all = append(all, s.acknowledge(c, session, share.TopicPartition{TopicID: t.TopicID, Partition: p.Partition}, said, r.IsRenewAck))
		}
	}
	return all
}

// shareFetchAnswer gathers an answer's partitions by topic.
type shareFetchAnswer struct {
	s       *Services
	answer  *kmsg.ShareFetchResponse
	leaders map[int32]bool
}

// partition returns a partition of the answer, which it makes if need be.
func (a *shareFetchAnswer) partition(tp share.TopicPartition) *kmsg.ShareFetchResponseTopicPartition {
	var topic *kmsg.ShareFetchResponseTopic
	for i := range a.answer.Topics {
		if a.answer.Topics[i].TopicID == tp.TopicID {
			topic = &a.answer.Topics[i]
		}
	}
	if topic == nil {
		a.answer.Topics = append(a.answer.Topics, kmsg.ShareFetchResponseTopic{TopicID: tp.TopicID})
		topic = &a.answer.Topics[len(a.answer.Topics)-1]
	}
	for i := range topic.Partitions {
		if topic.Partitions[i].Partition == tp.Partition {
			return &topic.Partitions[i]
		}
	}
	p := kmsg.NewShareFetchResponseTopicPartition()
	p.Partition = tp.Partition
	p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = 0, 0
	p.Records = []byte{}
	topic.Partitions = append(topic.Partitions, p)
	return &topic.Partitions[len(topic.Partitions)-1]
}

func (a *shareFetchAnswer) fetched(f share.Fetched) {
	p := a.partition(f.TopicPartition)
	if f.Fault != nil {
		p.ErrorCode, p.ErrorMessage = f.Fault.Code, &f.Fault.Description
		a.leader(p, f.TopicPartition)
	}
	if f.Records != nil {
		p.Records = f.Records
	}
	for _, b := range f.Acquired {
		acquired := kmsg.NewShareFetchResponseTopicPartitionAcquiredRecord()
		acquired.FirstOffset, acquired.LastOffset, acquired.DeliveryCount = b.First, b.Last, b.Count
		p.AcquiredRecords = append(p.AcquiredRecords, acquired)
	}
}

func (a *shareFetchAnswer) acknowledged(said *share.Acknowledged, fault *kerr.Error) {
	p := a.partition(said.TopicPartition)
	if fault != nil {
		p.AcknowledgeErrorCode, p.AcknowledgeErrorMessage = fault.Code, said.Message(fault)
		a.leader(p, said.TopicPartition)
	}
}

// noLeaderHint is the leader, and its epoch, of a partition in which something else is wrong. Kafka leaves it at 0, which
// franz-go (1.22) takes for a broker: one refused acknowledgement, and it asks broker 0 for this partition for ever.
const noLeaderHint = -1

// namesLeader reports whether an error comes with the leader.
func namesLeader(code int16) bool {
	return code == kerr.NotLeaderForPartition.Code || code == kerr.FencedLeaderEpoch.Code
}

// leader says who leads, to a consumer that asks the wrong broker.
func (a *shareFetchAnswer) leader(p *kmsg.ShareFetchResponseTopicPartition, tp share.TopicPartition) {
	if !namesLeader(p.ErrorCode) && !namesLeader(p.AcknowledgeErrorCode) {
		p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = noLeaderHint, noLeaderHint
		return
	}
	p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = a.s.currentLeader(tp)
	if p.CurrentLeader.LeaderID >= 0 {
		a.leaders[p.CurrentLeader.LeaderID] = true
	}
}

func (a *shareFetchAnswer) endpoints(c *Call) {
	for _, n := range a.s.leaderNodes(c, a.leaders) {
		a.answer.NodeEndpoints = append(a.answer.NodeEndpoints, kmsg.ShareFetchResponseNodeEndpoint{NodeID: n.ID, Host: n.host, Port: n.port, Rack: n.rack()})
	}
}
