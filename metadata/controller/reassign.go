package controller

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/image"
)

// Reassignment asks for a partition to have other replicas, or the same in another order.
type Reassignment struct {
	Topic     string
	Partition int32
	Replicas  []int32 // nil: end the reassignment that is under way and go back
}

// OngoingReassignment is a reassignment that is under way.
type OngoingReassignment struct {
	Topic            string
	Partition        int32
	Replicas         []int32
	AddingReplicas   []int32
	RemovingReplicas []int32
}

// AlterReassignments plans reassignments (ReplicationControlManager.alterPartitionReassignments); the errors are in the
// order of the request.
//
// New replicas are added first; once all that are to stay are in sync the others go. A reassignment that takes the place of
// one under way goes on from the replicas there are, and a cancellation still leads back to those of the beginning.
func (c *Controller) AlterReassignments(img *image.Image, tenant string, requests []Reassignment, allowFactorChange bool) ([]error, command.Group) {
	d := c.newDraft(img)
	errs := make([]error, len(requests))
	for i, r := range requests {
		errs[i] = d.alterReassignment(tenant, r, allowFactorChange)
	}
	return errs, d.group()
}

func (d *draft) alterReassignment(tenant string, r Reassignment, allowFactorChange bool) error {
	t := d.img.Topic(tenant, r.Topic)
	if t == nil {
		return refused(kerr.UnknownTopicOrPartition, "Unable to find a topic named "+r.Topic+".")
	}
	td := d.topic(t)
	p := td.partition(r.Partition)
	if p == nil {
		return refused(kerr.UnknownTopicOrPartition, fmt.Sprintf("Unable to find partition %s:%d.", r.Topic, r.Partition))
	}
	if r.Replicas == nil {
		return d.cancelReassignment(td, r.Partition, p)
	}
	if err := checkAssignment(d.img, r.Replicas, 0); err != nil {
		return err
	}
	if !allowFactorChange && len(r.Replicas) != factorAfter(p) {
		return refused(kerr.InvalidReplicationFactor, fmt.Sprintf("The replication factor is changed from %d to %d", factorAfter(p), len(r.Replicas)))
	}
	d.reassign(td, r.Partition, p, r.Replicas, image.ByOperator)
	return nil
}

// factorAfter returns the replication factor that a partition has once the reassignment under way is complete.
func factorAfter(p *image.Partition) int { return len(without(p.Replicas, p.RemovingReplicas...)) }

// originalReplicas returns the replicas that a partition had before the reassignment under way.
func originalReplicas(p *image.Partition) []int32 { return without(p.Replicas, p.AddingReplicas...) }

// reassign begins a reassignment and reports whether anything changes.
func (d *draft) reassign(td *topicDraft, i int32, p *image.Partition, replicas []int32, mover image.Mover) bool {
	removing := without(p.Replicas, replicas...) // by id, as Kafka lists them
	slices.Sort(removing)
	change := td.change(p, acceptable(d.img, -1, -1))
	t := &change.target
	t.Replicas, t.RemovingReplicas, t.Mover = slices.Concat(replicas, removing), removing, mover
	if mover != image.ByOperator {
		t.Replicas = interleaved(p.Replicas, replicas)
	}
	t.AddingReplicas = without(t.Replicas, originalReplicas(p)...)
	slices.Sort(t.AddingReplicas)
	return td.put(i, change)
}

// interleaved puts each new replica before the one whose place it takes, so that the way back leads to the same preferred
// leader as before. Kafka's lists, with those that go at the end, do not.
func interleaved(before, after []int32) []int32 {
	var list []int32
	for i, id := range after {
		list = append(list, id)
		if before[i] != id {
			list = append(list, before[i])
		}
	}
	return list
}

func (d *draft) cancelReassignment(td *topicDraft, i int32, p *image.Partition) error {
	if !p.Reassigning() {
		return refused(kerr.NoReassignmentInProgress, "No partition reassignment is in progress.")
	}
	change := td.change(p, acceptable(d.img, -1, -1))
	t := &change.target
	t.Replicas, t.ISR = originalReplicas(p), without(p.ISR, p.AddingReplicas...)
	t.AddingReplicas, t.RemovingReplicas = nil, nil
	if len(t.Replicas) == 0 {
		return refused(kerr.InvalidReplicaAssignment, "Invalid replica assignment: addingReplicas contains all replicas.")
	}
	if left := without(p.ELR, p.AddingReplicas...); len(t.ISR)+len(left) == 0 && len(p.ISR)+len(p.ELR) > 0 {
		if !td.unclean {
			return refused(kerr.InvalidReplicaAssignment, fmt.Sprintf("Unable to revert partition assignment for %s:%d because it would require an unclean leader election.", td.topic.Name, i))
		}
		t.ISR = t.Replicas[:1]
	}
	td.put(i, change)
	return nil
}

// ListReassignments returns the reassignments under way: of the named partitions, or with nil of all
// (listPartitionReassignments).
func ListReassignments(img *image.Image, tenant string, of []TopicPartitions) []OngoingReassignment {
	var ongoing []OngoingReassignment
	add := func(t *image.Topic, i int32) {
		if p := t.Partition(i); p != nil && p.Reassigning() {
			ongoing = append(ongoing, OngoingReassignment{t.Name, i, p.Replicas, p.AddingReplicas, p.RemovingReplicas})
		}
	}
	if of == nil {
		for t := range img.Topics(tenant) {
			for i := range t.Partitions() {
				add(t, i)
			}
		}
		return ongoing
	}
	for _, one := range of {
		if t := img.Topic(tenant, one.Topic); t != nil {
			for _, i := range one.Partitions {
				add(t, i)
			}
		}
	}
	return ongoing
}
