package controller

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/image"
)

// ISRChange is what the leader of a partition asks its in-sync set to be (AlterPartition).
type ISRChange struct {
	TopicID        image.TopicID
	Partition      int32
	LeaderEpoch    int32
	PartitionEpoch int32
	ISR            []ISRMember
	RecoveryState  image.RecoveryState
}

// ISRMember is a replica with the epoch of the broker that was seen to be in sync; -1 is not checked.
type ISRMember struct {
	ID          int32
	BrokerEpoch int64
}

// ISROutcome is the state of the partition after an ISRChange. With Err the other fields but the partition's name are zero.
type ISROutcome struct {
	TopicID        image.TopicID
	Partition      int32
	Err            error // a *Refusal
	Leader         int32
	LeaderEpoch    int32
	ISR            []int32
	RecoveryState  image.RecoveryState
	PartitionEpoch int32
}

// AlterPartitions plans changes of in-sync sets that a leader asks for (ReplicationControlManager.alterPartition).
//
// When the change completes a reassignment that moves the leadership, it takes place and the answer is nevertheless
// NEW_LEADER_ELECTED, as in Kafka.
func (c *Controller) AlterPartitions(img *image.Image, brokerID int32, brokerEpoch int64, changes []ISRChange) ([]ISROutcome, command.Group, error) {
	if err := CheckBrokerEpoch(img, brokerID, brokerEpoch); err != nil {
		return nil, nil, err
	}
	d := c.newDraft(img)
	outcomes := make([]ISROutcome, len(changes))
	for i, change := range changes {
		outcomes[i] = d.alterPartition(brokerID, change)
	}
	return outcomes, d.group(), nil
}

func (d *draft) alterPartition(leader int32, change ISRChange) ISROutcome {
	outcome := ISROutcome{TopicID: change.TopicID, Partition: change.Partition}
	t := d.img.TopicByID(change.TopicID)
	if t == nil {
		outcome.Err = refused(kerr.UnknownTopicID, "This server does not host this topic ID.")
		return outcome
	}
	td := d.topic(t)
	p := td.partition(change.Partition)
	if err := d.checkISRChange(leader, p, change); err != nil {
		outcome.Err = err
		return outcome
	}
	planned := td.change(p, acceptable(d.img, -1, -1))
	planned.target.ISR = inReplicaOrder(p.Replicas, change.ISR)
	planned.target.RecoveryState = change.RecoveryState
	td.put(change.Partition, planned)
	if p = td.partition(change.Partition); p.Leader != leader {
		outcome.Err = refused(kerr.NewLeaderElected, "The AlterPartition request successfully altered the partition state but the leader has changed.")
		return outcome
	}
	outcome.Leader, outcome.LeaderEpoch, outcome.PartitionEpoch = p.Leader, p.LeaderEpoch, p.PartitionEpoch
	outcome.ISR, outcome.RecoveryState = p.ISR, p.RecoveryState
	return outcome
}

// inReplicaOrder lists the members as the replicas are, so that an ISR of all replicas is written as no list at all.
func inReplicaOrder(replicas []int32, members []ISRMember) []int32 {
	var isr []int32
	for _, id := range replicas {
		if slices.ContainsFunc(members, func(m ISRMember) bool { return m.ID == id }) {
			isr = append(isr, id)
		}
	}
	return isr
}

// checkISRChange is validateAlterPartitionData. An epoch that is ahead of ours says that we are not the controller any more.
func (d *draft) checkISRChange(leader int32, p *image.Partition, change ISRChange) error {
	switch {
	case p == nil:
		return refused(kerr.UnknownTopicOrPartition, "This server does not host this topic-partition.")
	case change.LeaderEpoch > p.LeaderEpoch:
		return refused(kerr.NotController, fmt.Sprintf("The current leader epoch is %d, which is lower than the request value %d.", p.LeaderEpoch, change.LeaderEpoch))
	case change.PartitionEpoch > p.PartitionEpoch:
		return refused(kerr.NotController, fmt.Sprintf("The current partition epoch is %d, which is lower than the request value %d.", p.PartitionEpoch, change.PartitionEpoch))
	case change.LeaderEpoch < p.LeaderEpoch:
		return refused(kerr.FencedLeaderEpoch, fmt.Sprintf("The current leader epoch is %d, not %d.", p.LeaderEpoch, change.LeaderEpoch))
	case leader != p.Leader:
		return refused(kerr.InvalidRequest, fmt.Sprintf("The current leader is %d.", p.Leader))
	case change.PartitionEpoch < p.PartitionEpoch:
		return refused(kerr.InvalidUpdateVersion, fmt.Sprintf("The current partition epoch is %d, not %d.", p.PartitionEpoch, change.PartitionEpoch))
	}
	return d.checkISR(p, change)
}

func (d *draft) checkISR(p *image.Partition, change ISRChange) error {
	var ids []int32
	for _, m := range change.ISR {
		if slices.Contains(ids, m.ID) || !slices.Contains(p.Replicas, m.ID) {
			return refused(kerr.InvalidRequest, "It specified an invalid ISR.")
		}
		ids = append(ids, m.ID)
	}
	switch {
	case !slices.Contains(ids, p.Leader):
		return refused(kerr.InvalidRequest, "It specified an invalid ISR that doesn't include itself.")
	case change.RecoveryState != image.Recovered && change.RecoveryState != image.Recovering:
		return refused(kerr.InvalidRequest, fmt.Sprintf("Unknown leader recovery state %d.", change.RecoveryState))
	case change.RecoveryState == image.Recovering && len(ids) > 1:
		return refused(kerr.InvalidRequest, "The ISR had more than one replica while the leader was still recovering from an unclean leader election.")
	case change.RecoveryState == image.Recovering && p.RecoveryState == image.Recovered:
		return refused(kerr.InvalidRequest, "The leader recovery state cannot change from RECOVERED to RECOVERING.")
	}
	for _, m := range change.ISR {
		reason := ineligible(d.img.Broker(m.ID), m)
		if p.Lost(m.ID) {
			reason = "its log directory is offline"
		}
		if reason != "" {
			return refused(kerr.IneligibleReplica, fmt.Sprintf("It specified ineligible replicas [%d (%s)] in the new ISR.", m.ID, reason))
		}
	}
	return nil
}

func ineligible(b *image.Broker, m ISRMember) string {
	switch {
	case b == nil:
		return "not registered"
	case b.InControlledShutdown:
		return "shutting down"
	case b.Fenced:
		return "fenced"
	case m.BrokerEpoch != -1 && m.BrokerEpoch != b.Epoch:
		return fmt.Sprintf("broker epoch mismatch: requested=%d VS expected=%d", m.BrokerEpoch, b.Epoch)
	}
	return ""
}
