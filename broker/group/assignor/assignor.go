package assignor

import (
	"slices"
	"strings"
)

// TopicID is a topic's id.
type TopicID = [16]byte

// Partitions are partitions by topic; each list is sorted and must not be changed.
type Partitions map[TopicID][]int32

// Count is the number of partitions.
func (p Partitions) Count() int {
	n := 0
	for _, partitions := range p {
		n += len(partitions)
	}
	return n
}

// Equal reports whether two assignments are the same.
func (p Partitions) Equal(other Partitions) bool {
	if len(p) != len(other) {
		return false
	}
	for id, partitions := range p {
		if !slices.Equal(partitions, other[id]) {
			return false
		}
	}
	return true
}

// Member is who can be given partitions.
type Member struct {
	ID         string
	InstanceID *string    // static members keep theirs when their ids change
	Topics     []TopicID  // that it subscribes to and that exist, sorted, each once
	Assigned   Partitions // its target until now
}

// Topic is one that members subscribe to.
type Topic struct {
	ID         TopicID
	Partitions int32
}

// Assignor is a way to divide partitions. Topics holds every topic of any member, by id; the result has every member.
type Assignor func(members []Member, topics map[TopicID]Topic) map[string]Partitions

// ByName returns Kafka's assignor of that name, nil when there is none.
func ByName(name string) Assignor {
	switch name {
	case "uniform":
		return Uniform
	case "range":
		return Range
	}
	return nil
}

// sorted is the members in an order that does not depend on how they came: static ones first, by instance id, so that
// what they get survives their restart.
func sorted(members []Member) []Member {
	return slices.SortedFunc(slices.Values(members), func(a, b Member) int {
		switch {
		case a.InstanceID != nil && b.InstanceID != nil:
			return strings.Compare(*a.InstanceID, *b.InstanceID)
		case a.InstanceID != nil:
			return -1
		case b.InstanceID != nil:
			return 1
		}
		return strings.Compare(a.ID, b.ID)
	})
}

// isHomogeneous reports whether all members subscribe to the same topics.
func isHomogeneous(members []Member) bool {
	for _, m := range members {
		if !slices.Equal(m.Topics, members[0].Topics) {
			return false
		}
	}
	return true
}

func compareIDs(a, b TopicID) int { return slices.Compare(a[:], b[:]) }

// place is a partition of a topic.
type place struct {
	topic     TopicID
	partition int32
}
