package topology

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Topic is an internal topic of an application.
type Topic struct {
	Name              string
	Partitions        int32 // 0: to be found out
	ReplicationFactor int16 // 0, -1: the cluster's
	Configs           []Config
}

// Config is a setting of a topic.
type Config struct{ Name, Value string }

// Subtopology is a part of an application that is worked on task by task.
type Subtopology struct {
	ID                 string
	Sources            []string // topics that are read and are not the application's own
	SourceRegexes      []string // not supported by Kafka 4.3 either; kept as they are
	Changelogs         []Topic
	RepartitionSinks   []string // internal topics that are written
	RepartitionSources []Topic  // internal topics that are read
	Copartitions       []Copartition
}

// Copartition names topics that must have the same number of partitions, by their places in the subtopology's lists.
type Copartition struct{ Sources, SourceRegexes, RepartitionSources []int16 }

// Topology is an application. It is immutable.
type Topology struct {
	Epoch         int32
	Subtopologies []Subtopology // in the order of ids

	required []string          // names of topics that must exist, sorted
	reader   map[string]string // the subtopology that reads a topic
}

// InvalidError says why there can be no such topology.
type InvalidError struct{ Reason string }

func (e *InvalidError) Error() string { return e.Reason }

func invalid(format string, args ...any) error { return &InvalidError{fmt.Sprintf(format, args...)} }

// New makes a topology of its parts, which it keeps.
func New(epoch int32, subtopologies []Subtopology) *Topology {
	slices.SortStableFunc(subtopologies, func(a, b Subtopology) int { return strings.Compare(a.ID, b.ID) })
	t := &Topology{Epoch: epoch, Subtopologies: subtopologies, reader: map[string]string{}}
	required := map[string]bool{}
	for i := range subtopologies {
		sub := &subtopologies[i]
		for _, name := range sub.reads() {
			t.reader[name] = sub.ID
			required[name] = true
		}
		for _, topic := range sub.Changelogs {
			required[topic.Name] = true
		}
	}
	t.required = slices.Sorted(maps.Keys(required))
	return t
}

// Required are the names of the topics that must exist, sorted; not to be changed.
func (t *Topology) Required() []string { return t.required }

// ReaderOf names the subtopology that reads a topic.
func (t *Topology) ReaderOf(topic string) (subtopology string, ok bool) {
	subtopology, ok = t.reader[topic]
	return subtopology, ok
}

// reads are the topics that the subtopology reads.
func (s *Subtopology) reads() []string {
	names := slices.Clone(s.Sources)
	for _, topic := range s.RepartitionSources {
		names = append(names, topic.Name)
	}
	return names
}

// Bounds on a topology, far above what an application has: it is configured in the coordinator's loop.
const (
	maxSubtopologies = 1000
	maxTopics        = 20_000
)

// Check says what is wrong with a topology of outside. Whether its topics fit is found out by Configure.
func (t *Topology) Check() error {
	if len(t.Subtopologies) > maxSubtopologies {
		return invalid("The topology has more than %d subtopologies.", maxSubtopologies)
	}
	topics := 0
	for i := range t.Subtopologies {
		sub := &t.Subtopologies[i]
		if i > 0 && sub.ID == t.Subtopologies[i-1].ID {
			return invalid("Subtopology %s is there twice.", sub.ID)
		}
		topics += len(sub.Sources) + len(sub.Changelogs) + len(sub.RepartitionSinks) + len(sub.RepartitionSources)
		for _, topic := range sub.Changelogs {
			if topic.Partitions != 0 {
				return invalid("Changelog topic %s must have an undefined partition count, but it is set to %d.", topic.Name, topic.Partitions)
			}
		}
		if err := sub.check(); err != nil {
			return err
		}
	}
	if topics > maxTopics {
		return invalid("The topology has more than %d topics.", maxTopics)
	}
	return nil
}

func (s *Subtopology) check() error {
	if len(s.Sources)+len(s.RepartitionSources) == 0 {
		return invalid("No source topics found for subtopology %s", s.ID)
	}
	for _, topic := range s.RepartitionSources {
		if topic.Partitions < 0 {
			return invalid("Repartition topic %s has a negative partition count.", topic.Name)
		}
	}
	for _, group := range s.Copartitions {
		if !inside(group.Sources, len(s.Sources)) || !inside(group.RepartitionSources, len(s.RepartitionSources)) {
			return invalid("A copartition group of subtopology %s names a topic that is not there.", s.ID)
		}
	}
	return nil
}

func inside(places []int16, length int) bool {
	return !slices.ContainsFunc(places, func(at int16) bool { return at < 0 || int(at) >= length })
}

// names are the topics of a copartition group, sorted, each once.
func (s *Subtopology) names(group Copartition) []string {
	var names []string
	for _, at := range group.Sources {
		names = append(names, s.Sources[at])
	}
	for _, at := range group.RepartitionSources {
		names = append(names, s.RepartitionSources[at].Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
