package metadata

import (
	"context"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/metadata/raft"
)

// What brokers and operators ask of the controller. Elsewhere every one of these is refused with NOT_CONTROLLER.

// AlterPartitions changes in-sync sets as the leader of the partitions asks; the outcomes are in the order of changes.
func (n *Node) AlterPartitions(ctx context.Context, brokerID int32, brokerEpoch int64, changes []controller.ISRChange) ([]controller.ISROutcome, error) {
	var outcomes []controller.ISROutcome
	err := n.one(ctx, func(img *image.Image) (group command.Group, err error) {
		outcomes, group, err = n.controller.AlterPartitions(img, brokerID, brokerEpoch, changes)
		return group, err
	})
	if err != nil {
		return nil, err
	}
	return outcomes, nil
}

// AssignDirectories notes where replicas of a broker lie; the errors are in the order of the assignments.
func (n *Node) AssignDirectories(ctx context.Context, brokerID int32, brokerEpoch int64, assignments []controller.DirectoryAssignment) ([]error, error) {
	var faults []error
	err := n.one(ctx, func(img *image.Image) (group command.Group, err error) {
		faults, group, err = n.controller.AssignDirectories(img, brokerID, brokerEpoch, assignments)
		return group, err
	})
	if err != nil {
		return nil, err
	}
	return faults, nil
}

// ElectLeaders elects leaders of partitions, of all with nil; then those that need no election are not in the answer.
func (n *Node) ElectLeaders(ctx context.Context, tenant string, kind controller.ElectionType, of []controller.TopicPartitions) ([]controller.PartitionOutcome, error) {
	var outcomes []controller.PartitionOutcome
	err := n.one(ctx, func(img *image.Image) (group command.Group, err error) {
		outcomes, group, err = n.controller.ElectLeaders(img, tenant, kind, of)
		return group, err
	})
	if err != nil {
		return nil, err
	}
	return outcomes, nil
}

// AlterReassignments begins, changes and cancels reassignments; the errors are in the order of the requests.
func (n *Node) AlterReassignments(ctx context.Context, tenant string, requests []controller.Reassignment, allowFactorChange bool) []error {
	return n.each(ctx, len(requests), false, func(img *image.Image) ([]error, command.Group) {
		return n.controller.AlterReassignments(img, tenant, requests, allowFactorChange)
	})
}

// ListReassignments returns the reassignments under way: of the named partitions, or with nil of all.
func (n *Node) ListReassignments(_ context.Context, tenant string, of []controller.TopicPartitions) ([]controller.OngoingReassignment, error) {
	if !n.IsController() {
		return nil, refusal(raft.ErrNotLeader)
	}
	return controller.ListReassignments(n.Image(), tenant, of), nil
}

// UnregisterBroker forgets a broker.
func (n *Node) UnregisterBroker(ctx context.Context, id int32) error {
	return n.one(ctx, func(img *image.Image) (command.Group, error) { return n.controller.UnregisterBroker(img, id) })
}

// UpdateFeatures finalizes other levels of features, all of them or none.
func (n *Node) UpdateFeatures(ctx context.Context, updates []controller.FeatureUpdate, validateOnly bool) error {
	if validateOnly {
		_, err := n.controller.UpdateFeatures(n.Image(), updates)
		return err
	}
	return n.one(ctx, func(img *image.Image) (command.Group, error) { return n.controller.UpdateFeatures(img, updates) })
}
