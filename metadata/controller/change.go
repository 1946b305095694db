package controller

import (
	"slices"

	"github.com/millrace-io/millrace/metadata/image"
)

// election says how far a partition may go for a leader when the present one cannot stay.
type election int8

const (
	electOnline    election = iota // keep the leader if it can stay; else one that lost nothing, else the last known leader
	electPreferred                 // the first replica if it can lead, else as electOnline
	electUnclean                   // as electOnline, and before the partition stays offline any replica that lives
)

// partitionChange works out what a change of the replicas or of the ISR makes of a partition: who leads, who may lead
// later (KIP-966), whether a reassignment is complete (Kafka's PartitionChangeBuilder).
//
// The ELR holds replicas that left an ISR below min.insync.replicas: the high watermark stood still since, so they have
// every committed record. It and the ISR never overlap. With an ISR and an ELR that are empty, LastKnownELR holds the
// leader that was last.
type partitionChange struct {
	before     *image.Partition
	target     image.Partition // begins as before; the caller sets what is to change
	acceptable func(broker int32) bool
	minISR     int // of the topic's settings
	election   election
	lost       int32 // a replica whose log may lack records it had confirmed; -1: none
	gone       bool  // its log is not there at all: it is not even a last known leader
}

// newPartitionChange begins a change. Whoever may lead by acceptable leads only with a log that it can use.
func newPartitionChange(before *image.Partition, minISR int, acceptable func(int32) bool) *partitionChange {
	usable := func(id int32) bool { return acceptable(id) && !before.Lost(id) }
	return &partitionChange{before: before, target: *before, acceptable: usable, minISR: minISR, lost: -1}
}

// build returns the partition after the change, and whether there is a change at all. Its partition epoch is not set.
func (c *partitionChange) build() (*image.Partition, bool) {
	c.completeReassignment()
	c.updateELR()
	c.elect()
	c.updateLastKnown()
	t := &c.target
	if t.Leader != c.before.Leader || !containsAll(t.Replicas, c.before.Replicas) {
		t.LeaderEpoch = c.before.LeaderEpoch + 1
	}
	if !t.Reassigning() {
		t.Mover = image.ByOperator
	}
	t.Directories = movedDirectories(t.Directories, c.before.Replicas, t.Replicas)
	return t, !samePartition(c.before, t)
}

// completeReassignment ends a reassignment once every replica that is to stay is in sync
// (PartitionReassignmentReplicas.maybeCompleteReassignment).
func (c *partitionChange) completeReassignment() {
	t := &c.target
	if !t.Reassigning() {
		return
	}
	isr, replicas := without(t.ISR, t.RemovingReplicas...), without(t.Replicas, t.RemovingReplicas...)
	if len(isr) == 0 || len(replicas) == 0 || !containsAll(isr, replicas) {
		return
	}
	t.ISR, t.Replicas, t.AddingReplicas, t.RemovingReplicas = isr, replicas, nil, nil
}

// updateELR lets who leaves an ISR that is too small stay eligible. Kafka takes the smaller of min.insync.replicas and the
// topic's replication factor; here it is this partition's, which is what its leader reckons with. And unlike there, who is
// no replica any more is not eligible.
func (c *partitionChange) updateELR() {
	t := &c.target
	if c.commits() {
		t.ELR = nil
		return
	}
	eligible := slices.DeleteFunc(slices.Concat(t.ELR, c.before.ISR), func(id int32) bool {
		return id == c.lost || slices.Contains(t.ISR, id) || !slices.Contains(t.Replicas, id)
	})
	slices.Sort(eligible)
	t.ELR = slices.Compact(eligible)
}

// commits reports whether the ISR is large enough for the high watermark to move.
func (c *partitionChange) commits() bool {
	return len(c.target.ISR) >= min(c.minISR, len(c.target.Replicas))
}

func (c *partitionChange) elect() {
	t := &c.target
	leader, unclean := c.choose()
	if leader == c.before.Leader {
		return
	}
	t.Leader = leader
	switch {
	case leader < 0:
	case unclean:
		t.ISR, t.ELR, t.RecoveryState = []int32{leader}, nil, image.Recovering
	case slices.Contains(t.ELR, leader):
		t.ISR, t.ELR = []int32{leader}, without(t.ELR, leader)
		if c.commits() {
			t.ELR = nil // min.insync.replicas became smaller meanwhile: the new leader goes on alone
		}
	}
}

// choose returns the leader, -1 for none, and whether it may lack records.
func (c *partitionChange) choose() (leader int32, unclean bool) {
	t := &c.target
	if c.election == electPreferred && len(t.Replicas) > 0 && c.clean(t.Replicas[0]) {
		return t.Replicas[0], false
	}
	if c.clean(c.before.Leader) {
		return c.before.Leader, false
	}
	if at := slices.IndexFunc(t.Replicas, c.clean); at >= 0 {
		return t.Replicas[at], false
	}
	if last := c.before.LastKnownELR; len(t.ISR)+len(t.ELR) == 0 && len(last) == 1 && len(t.LastKnownELR) == 1 &&
		slices.Contains(t.Replicas, last[0]) && c.acceptable(last[0]) {
		return last[0], true
	}
	if c.election == electUnclean {
		if at := slices.IndexFunc(t.Replicas, c.acceptable); at >= 0 {
			return t.Replicas[at], true
		}
	}
	return -1, false
}

// clean reports whether a replica has every committed record and can lead.
func (c *partitionChange) clean(id int32) bool {
	t := &c.target
	return (slices.Contains(t.ISR, id) || len(t.ISR) == 0 && slices.Contains(t.ELR, id)) && c.acceptable(id)
}

// updateLastKnown remembers the leader when the ISR becomes empty, and forgets it once there is one again.
func (c *partitionChange) updateLastKnown() {
	t := &c.target
	switch {
	case t.Leader >= 0:
		t.LastKnownELR = nil
	case len(t.ISR) == 0 && len(c.before.ISR) > 0 && c.before.Leader >= 0 && !(c.gone && c.before.Leader == c.lost):
		t.LastKnownELR = []int32{c.before.Leader}
	}
	t.LastKnownELR = without(t.LastKnownELR, without(t.LastKnownELR, t.Replicas...)...) // who is no replica any more does not count
}

// movedDirectories keeps the directories of replicas that stay, and leaves those of new ones open.
func movedDirectories(directories [][16]byte, before, replicas []int32) [][16]byte {
	if len(directories) != len(before) || slices.Equal(before, replicas) {
		return directories
	}
	moved := make([][16]byte, len(replicas))
	for i, id := range replicas {
		if at := slices.Index(before, id); at >= 0 {
			moved[i] = directories[at]
		}
	}
	return moved
}

func samePartition(a, b *image.Partition) bool {
	return a.Leader == b.Leader && a.LeaderEpoch == b.LeaderEpoch && a.RecoveryState == b.RecoveryState && a.Mover == b.Mover &&
		slices.Equal(a.Replicas, b.Replicas) && slices.Equal(a.ISR, b.ISR) && slices.Equal(a.ELR, b.ELR) &&
		slices.Equal(a.LastKnownELR, b.LastKnownELR) && slices.Equal(a.AddingReplicas, b.AddingReplicas) &&
		slices.Equal(a.RemovingReplicas, b.RemovingReplicas) && slices.Equal(a.Directories, b.Directories)
}

// without returns the list without some of its members; the list itself stays as it is.
func without(list []int32, members ...int32) []int32 {
	var rest []int32
	for _, id := range list {
		if !slices.Contains(members, id) {
			rest = append(rest, id)
		}
	}
	return rest
}

func containsAll(list, members []int32) bool {
	for _, id := range members {
		if !slices.Contains(list, id) {
			return false
		}
	}
	return true
}
