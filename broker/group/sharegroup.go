package group

import (
	"maps"
	"slices"

	"github.com/millrace-io/millrace/broker/group/assignor"
)

// shareGroup is what a share group (KIP-932) is made of: all of it is in the log. A record makes another one of it; its maps
// are never changed.
//
// A share group has no generations to agree on: a member follows its target at once, for partitions may be shared. What is
// assigned is what the share coordinators have states for, so that a partition is initialized before anybody fetches it.
type shareGroup struct {
	epoch            int32
	metadataHash     uint64
	assignmentEpoch  int32
	assignmentMillis int64 // when the target was made
	members          map[string]*shareMember
	target           map[string]assignor.Partitions
	states           shareStates
}

// shareMember is immutable.
type shareMember struct {
	id                   string
	rackID               *string
	clientID, clientHost string
	topics               []string // sorted
	epoch, previousEpoch int32
	assigned             assignor.Partitions
}

// shareStates says how far the share coordinators are with the group's partitions. Its maps are never changed.
type shareStates struct {
	initializing, initialized map[TopicID]stateTopic
	deleting                  map[TopicID]string // names
}

type stateTopic struct {
	name       string
	partitions []int32 // sorted
}

// shareTimers are what a share group has that is not in the log.
type shareTimers struct {
	sessions map[string]*timer
	assign   *timer // makes the target when the pause between two assignments is over
}

func (g *shareGroup) state() string {
	if len(g.members) == 0 {
		return "Empty"
	}
	return "Stable"
}

// clone is a copy that may be changed. A new group begins at epoch 1, as in Kafka.
func (g *shareGroup) clone() *shareGroup {
	if g == nil {
		return &shareGroup{epoch: 1, assignmentEpoch: 1, members: map[string]*shareMember{}, target: map[string]assignor.Partitions{}}
	}
	next := *g
	next.members, next.target = maps.Clone(g.members), maps.Clone(g.target)
	return &next
}

// subscribed are the names of all topics that members want, sorted.
func (g *shareGroup) subscribed() []string {
	names := map[string]bool{}
	for _, m := range g.members {
		for _, topic := range m.topics {
			names[topic] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func (s shareStates) isEmpty() bool {
	return len(s.initializing) == 0 && len(s.initialized) == 0 && len(s.deleting) == 0
}

// with adds partitions to topics; without takes them away.
func with(topics map[TopicID]stateTopic, id TopicID, name string, partitions []int32) map[TopicID]stateTopic {
	next := maps.Clone(topics)
	if next == nil {
		next = map[TopicID]stateTopic{}
	}
	all := append(slices.Clone(next[id].partitions), partitions...)
	slices.Sort(all)
	next[id] = stateTopic{name, slices.Compact(all)}
	return next
}

func without(topics map[TopicID]stateTopic, id TopicID, partitions []int32) map[TopicID]stateTopic {
	known, ok := topics[id]
	if !ok {
		return topics
	}
	next := maps.Clone(topics)
	left := slices.DeleteFunc(slices.Clone(known.partitions), func(p int32) bool { return slices.Contains(partitions, p) })
	if len(left) == 0 {
		delete(next, id)
	} else {
		next[id] = stateTopic{known.name, left}
	}
	return next
}
