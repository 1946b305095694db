package group

import (
	"maps"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group/assignor"
)

// owned is what a member says it has; nil: it says nothing.
type owned []kmsg.ConsumerGroupHeartbeatRequestTopic

// anyOf reports whether the member still has one of the partitions. Who says nothing may have all.
func (o owned) anyOf(h held) bool {
	if o == nil {
		return true
	}
	for _, t := range o {
		for _, p := range t.Partitions {
			if h.has(t.TopicID, p) {
				return true
			}
		}
	}
	return false
}

// isSubsetOf reports whether the member has nothing else.
func (o owned) isSubsetOf(h held) bool {
	if o == nil {
		return false
	}
	for _, t := range o {
		for _, p := range t.Partitions {
			if !h.has(t.TopicID, p) {
				return false
			}
		}
	}
	return true
}

// reconciliation brings a member one step nearer to its target, as Kafka's CurrentAssignmentBuilder does: first it gives
// up what it is not to have, then it is given what nobody else has any more.
type reconciliation struct {
	member      *consumerMember
	epoch       int32 // of the target
	target      assignor.Partitions
	subscribed  map[TopicID]bool
	resubscribe bool // its subscription changed: what it no longer subscribes to goes even without another target
	owned       owned
	owner       func(id TopicID, partition int32) string
}

// next returns the member's next state, or the member itself when nothing can be done yet.
func (r *reconciliation) next() *consumerMember {
	m := r.member
	switch m.state {
	case memberStable:
		if m.epoch != r.epoch {
			return r.compute(m.epoch)
		}
		if r.resubscribe {
			return r.shrink()
		}
		return m
	case memberUnrevoked:
		if r.owned.anyOf(m.revoking) {
			if r.resubscribe {
				return r.shrink()
			}
			return m
		}
		return r.compute(m.epoch)
	}
	return r.compute(m.epoch)
}

// shrink takes topics away that the member no longer subscribes to.
func (r *reconciliation) shrink() *consumerMember {
	assigned, revoking := make(held), maps.Clone(r.member.revoking)
	for id, partitions := range r.member.assigned {
		if r.subscribed[id] {
			assigned[id] = partitions
			continue
		}
		if revoking == nil {
			revoking = make(held)
		}
		all := maps.Clone(partitions)
		maps.Copy(all, revoking[id])
		revoking[id] = all
	}
	if len(assigned) == len(r.member.assigned) {
		return r.member
	}
	next := *r.member
	next.assigned = assigned
	if len(revoking) > 0 && r.owned.anyOf(revoking) {
		next.state, next.revoking = memberUnrevoked, revoking
	}
	return next.at(r.member.epoch)
}

// at is the member in an epoch; the one before it stays known while the epoch does not change.
func (m consumerMember) at(epoch int32) *consumerMember {
	m.previousEpoch, m.epoch = m.epoch, epoch
	return &m
}

// compute compares what the member has with its target.
func (r *reconciliation) compute(memberEpoch int32) *consumerMember {
	assigned, revoking, pending := make(held), make(held), make(held)
	unreleased := false
	for id, partitions := range r.member.assigned {
		wanted := r.wanted(id)
		for p, epoch := range partitions {
			if wanted[p] {
				assigned.put(id, p, epoch)
			} else {
				revoking.put(id, p, epoch)
			}
		}
	}
	for id, partitions := range r.target {
		if !r.subscribed[id] {
			continue
		}
		for _, p := range partitions {
			if assigned.has(id, p) {
				continue
			}
			if owner := r.owner(id, p); owner != "" && !(owner == r.member.id && r.member.revoking.has(id, p)) {
				unreleased = true
				continue
			}
			pending.put(id, p, r.epoch)
		}
	}
	next := *r.member
	if len(revoking) > 0 && r.owned.anyOf(revoking) {
		next.state, next.assigned, next.revoking = memberUnrevoked, assigned, revoking
		return next.at(memberEpoch)
	}
	for id, partitions := range pending {
		for p, epoch := range partitions {
			assigned.put(id, p, epoch)
		}
	}
	next.state, next.assigned, next.revoking = memberStable, assigned, nil
	if unreleased {
		next.state = memberUnreleased
	}
	return next.at(r.epoch)
}

func (r *reconciliation) wanted(id TopicID) map[int32]bool {
	wanted := make(map[int32]bool, len(r.target[id]))
	if r.subscribed[id] {
		for _, p := range r.target[id] {
			wanted[p] = true
		}
	}
	return wanted
}

func (h held) put(id TopicID, partition, epoch int32) {
	if h[id] == nil {
		h[id] = make(map[int32]int32)
	}
	h[id][partition] = epoch
}
