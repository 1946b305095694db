package api

import (
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/broker/share"
	"github.com/millrace-io/millrace/broker/share/delivery"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// What the APIs of share groups (KIP-932) have in common.

// shareFeature is the feature whose level says that share groups may be used.
const shareFeature = "share.version"

// shareGroupsEnabled reports whether the cluster has share groups switched on.
func (s *Services) shareGroupsEnabled() bool {
	return s.Shares != nil && s.Metadata.Image().Features()[shareFeature] >= 1
}

// maxShareMemberID is the longest member id: that of a UUID.
const maxShareMemberID = 36

// shareOwner is who a share session belongs to, or why there can be none.
func (s *Services) shareOwner(c *Call, group, member *string) (share.Owner, *kerr.Error) {
	who := share.Owner{Tenant: c.Identity.Tenant, Peer: c.Peer}
	if group != nil {
		who.Group = *group
	}
	if member != nil {
		who.Member = *member
	}
	switch {
	case !s.shareGroupsEnabled():
		return who, kerr.UnsupportedVersion
	case !s.allowedOnGroup(c, security.OperationRead, who.Group):
		return who, kerr.GroupAuthorizationFailed
	case who.Group == "" || who.Member == "" || len(who.Member) > maxShareMemberID:
		return who, kerr.InvalidRequest
	}
	return who, nil
}

// shareReplica finds the replica of a partition for a share consumer.
func (s *Services) shareReplica(c *Call, tp share.TopicPartition) (*replica.Partition, *kerr.Error) {
	topic := s.Replicas.TopicByID(image.TopicID(tp.TopicID))
	switch {
	case topic == nil || topic.Tenant != c.Identity.Tenant:
		return nil, kerr.UnknownTopicID
	case !s.Allowed(c, security.OperationRead, security.ResourceTopic, topic.Name):
		return nil, kerr.TopicAuthorizationFailed
	}
	return s.Replicas.Find(topic, tp.Partition)
}

// shareAcknowledgement is a batch of ShareFetch and ShareAcknowledge.
type shareAcknowledgement struct {
	first, last int64
	types       []int8
}

// acknowledgements checks what a member says of a partition (KafkaApis.validateAcknowledgementBatches).
func acknowledgements(said []shareAcknowledgement, renew bool) ([]delivery.Acknowledgement, *kerr.Error) {
	highest := delivery.Reject
	if renew {
		highest = delivery.Renew
	}
	checked := make([]delivery.Acknowledgement, 0, len(said))
	end := int64(-1)
	for _, b := range said {
		if b.first > b.last || b.first <= end || len(b.types) == 0 || len(b.types) > 1 && int64(len(b.types)) != b.last-b.first+1 {
			return nil, kerr.InvalidRequest
		}
		end = b.last
		types := make([]delivery.Type, len(b.types))
		for i, t := range b.types {
			if types[i] = delivery.Type(t); types[i] < delivery.Gap || types[i] > highest {
				return nil, kerr.InvalidRequest
			}
		}
		checked = append(checked, delivery.Acknowledgement{First: b.first, Last: b.last, Types: types})
	}
	return checked, nil
}

// acknowledge notes what a member says of one partition; the answer comes by Await.
func (s *Services) acknowledge(c *Call, session *share.Session, tp share.TopicPartition, said []shareAcknowledgement, renew bool) *share.Acknowledged {
	checked, fault := acknowledgements(said, renew)
	if fault != nil {
		return share.Refused(tp, fault)
	}
	if _, fault := s.shareReplica(c, tp); fault != nil {
		return share.Refused(tp, fault)
	}
	return s.Shares.Acknowledge(session, tp, checked)
}

// currentLeader returns who leads a partition according to the image; -1, -1 when that is not known.
func (s *Services) currentLeader(tp share.TopicPartition) (leader, epoch int32) {
	if topic := s.Metadata.Image().TopicByID(image.TopicID(tp.TopicID)); topic != nil {
		if p := topic.Partition(tp.Partition); p != nil {
			return p.Leader, p.LeaderEpoch
		}
	}
	return -1, -1
}

// leaderNodes are the addresses, on the caller's listener, of leaders that an answer names.
func (s *Services) leaderNodes(c *Call, leaders map[int32]bool) []node {
	if len(leaders) == 0 {
		return nil
	}
	var named []node
	for _, n := range s.nodes(c, s.Metadata.Image(), false) {
		if leaders[n.ID] {
			named = append(named, n)
		}
	}
	return named
}

// shareGroupMessage is Kafka's text of a refusal of a share group.
func shareGroupMessage(fault *kerr.Error, group string) *string {
	message := fault.Description
	switch fault {
	case kerr.InvalidGroupID:
		message = "The group id is invalid."
	case kerr.GroupIDNotFound:
		message = "Group " + group + " not found."
	}
	return &message
}
