package txn

import (
	"slices"
	"strings"
)

// topicPartitions are partitions of one topic. Lists of them are in the order of topics, each with its partitions in order,
// none twice.
type topicPartitions struct {
	topic      string
	partitions []int32
}

// Partition names a partition of a topic.
type Partition struct {
	Topic  string
	Number int32
}

// ordered brings partitions into the order that this package keeps.
func ordered(partitions []Partition) []topicPartitions {
	var list []topicPartitions
	for _, p := range partitions {
		list = include(list, p)
	}
	return list
}

// include adds a partition to a list that is the caller's own.
func include(list []topicPartitions, p Partition) []topicPartitions {
	i, found := slices.BinarySearchFunc(list, p.Topic, compareTopic)
	if !found {
		return slices.Insert(list, i, topicPartitions{p.Topic, []int32{p.Number}})
	}
	if at, found := slices.BinarySearch(list[i].partitions, p.Number); !found {
		list[i].partitions = slices.Insert(list[i].partitions, at, p.Number)
	}
	return list
}

func compareTopic(t topicPartitions, topic string) int { return strings.Compare(t.topic, topic) }

// union makes a new list of what is in either.
func union(a, b []topicPartitions) []topicPartitions {
	if len(a) == 0 {
		return b
	}
	all := make([]topicPartitions, len(a), len(a)+len(b))
	for i, t := range a {
		all[i] = topicPartitions{t.topic, slices.Clone(t.partitions)}
	}
	for _, t := range b {
		for _, number := range t.partitions {
			all = include(all, Partition{t.topic, number})
		}
	}
	return all
}

func contains(list []topicPartitions, p Partition) bool {
	i, found := slices.BinarySearchFunc(list, p.Topic, compareTopic)
	if !found {
		return false
	}
	_, found = slices.BinarySearch(list[i].partitions, p.Number)
	return found
}

func containsAll(list, wanted []topicPartitions) bool {
	for _, t := range wanted {
		for _, number := range t.partitions {
			if !contains(list, Partition{t.topic, number}) {
				return false
			}
		}
	}
	return true
}

func countPartitions(list []topicPartitions) (n int) {
	for _, t := range list {
		n += len(t.partitions)
	}
	return n
}
