package topology

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Status is why members of a group cannot work yet, by Kafka's number (StreamsGroupHeartbeatResponse.Status).
type Status int8

// What members are told of their group.
const (
	StaleTopology          Status = 0
	MissingSourceTopics    Status = 1
	IncorrectlyPartitioned Status = 2
	MissingInternalTopics  Status = 3
	ShutdownApplication    Status = 4
	AssignmentDelayed      Status = 5
)

// Problem is what is in the way of a topology.
type Problem struct {
	Status Status
	Detail string
}

func (p *Problem) Error() string { return p.Detail }

// Configured is a topology with the topics that exist.
type Configured struct {
	Subtopologies []ConfiguredSubtopology // in the order of ids; nil when a problem keeps them from being known
	Missing       []Topic                 // internal topics to be created, by name, with partition counts
	Problem       *Problem                // nil: it is ready
}

// ConfiguredSubtopology knows its tasks, and how many partitions its internal topics have.
type ConfiguredSubtopology struct {
	Subtopology
	Tasks int32
}

// Ready reports that tasks may be given out.
func (c *Configured) Ready() bool { return c.Problem == nil }

// Subtopology finds one by its id; nil is none.
func (c *Configured) Subtopology(id string) *ConfiguredSubtopology {
	at, found := slices.BinarySearchFunc(c.Subtopologies, id, func(s ConfiguredSubtopology, id string) int { return strings.Compare(s.ID, id) })
	if !found {
		return nil
	}
	return &c.Subtopologies[at]
}

// Partitions tells how many partitions a topic has; ok is false when it does not exist.
type Partitions func(topic string) (count int32, ok bool)

// Configure works out what a topology needs. The error is an InvalidError: no topics could ever do.
func Configure(t *Topology, existing Partitions) (*Configured, error) {
	if err := t.Check(); err != nil {
		return nil, err // it may come from a log that others wrote
	}
	c := &configurator{t: t, existing: existing, decided: map[string]int32{}}
	configured, err := c.configure()
	var problem *Problem
	if errors.As(err, &problem) {
		return &Configured{Problem: problem}, nil
	}
	return configured, err
}

// configurator holds the partition counts that are decided on for topics that do not exist.
type configurator struct {
	t        *Topology
	existing Partitions
	decided  map[string]int32
}

// partitions are those of a topic as it is, or as it will be.
func (c *configurator) partitions(topic string) (int32, bool) {
	if n, ok := c.existing(topic); ok {
		return n, true
	}
	n, ok := c.decided[topic]
	return n, ok
}

func (c *configurator) configure() (*Configured, error) {
	if err := c.checkSources(); err != nil {
		return nil, err
	}
	if err := c.decideRepartition(); err != nil {
		return nil, err
	}
	if err := c.enforceCopartitions(); err != nil {
		return nil, err
	}
	if err := c.decideChangelogs(); err != nil {
		return nil, err
	}
	configured := &Configured{}
	internal := map[string]Topic{}
	for _, sub := range c.t.Subtopologies {
		tasks, err := c.mostPartitions(&sub)
		if err != nil {
			return nil, err
		}
		sub.Changelogs, sub.RepartitionSources = c.counted(sub.Changelogs, internal), c.counted(sub.RepartitionSources, internal)
		configured.Subtopologies = append(configured.Subtopologies, ConfiguredSubtopology{sub, tasks})
	}
	if err := c.compareExisting(internal); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(internal)) {
		configured.Missing = append(configured.Missing, internal[name])
	}
	if len(internal) > 0 {
		configured.Problem = &Problem{MissingInternalTopics, "Internal topics are missing: " + summary(slices.Sorted(maps.Keys(internal)))}
	}
	return configured, nil
}

func (c *configurator) checkSources() error {
	missing := map[string]bool{}
	for _, sub := range c.t.Subtopologies {
		for _, topic := range sub.Sources {
			if _, ok := c.existing(topic); !ok {
				missing[topic] = true
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &Problem{MissingSourceTopics, "Source topics " + summary(slices.Sorted(maps.Keys(missing))) + " are missing."}
}

// summary names the first few.
func summary(names []string) string {
	const shown = 3
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d additional topics", strings.Join(names[:shown], ", "), len(names)-shown)
}

// decideRepartition gives each repartition topic as many partitions as it asks for, or as the largest topic has that flows
// into it.
func (c *configurator) decideRepartition() error {
	counts := map[string]int32{}
	for _, sub := range c.t.Subtopologies {
		for _, topic := range sub.RepartitionSources {
			if topic.Partitions != 0 {
				counts[topic.Name] = topic.Partitions
			}
		}
	}
	for open, progress := true, true; open; {
		if !progress {
			return invalid("Failed to compute number of partitions for all repartition topics. There may be loops in the topology that cannot be resolved.")
		}
		open, progress = false, false
		for i := range c.t.Subtopologies {
			sub := &c.t.Subtopologies[i]
			for _, sink := range sub.RepartitionSinks {
				if counts[sink] != 0 {
					continue
				}
				if n := c.flow(sub, counts); n != 0 {
					counts[sink], progress = n, true
				} else {
					open = true
				}
			}
		}
	}
	for _, sub := range c.t.Subtopologies {
		for _, topic := range sub.RepartitionSources {
			if counts[topic.Name] == 0 {
				return invalid("Failed to compute number of partitions for all repartition topics, because a repartition source topic is never used as a sink topic.")
			}
		}
	}
	maps.Copy(c.decided, counts)
	return nil
}

// flow is the largest partition count that is known of what a subtopology reads; 0 is none.
func (c *configurator) flow(sub *Subtopology, counts map[string]int32) (most int32) {
	for _, topic := range sub.RepartitionSources {
		most = max(most, counts[topic.Name])
	}
	for _, topic := range sub.Sources {
		n, _ := c.existing(topic)
		most = max(most, n)
	}
	return most
}

func (c *configurator) decideChangelogs() error {
	counts := map[string]int32{}
	for i := range c.t.Subtopologies {
		most, err := c.mostPartitions(&c.t.Subtopologies[i])
		if err != nil {
			return err
		}
		for _, topic := range c.t.Subtopologies[i].Changelogs {
			counts[topic.Name] = most
		}
	}
	maps.Copy(c.decided, counts)
	return nil
}

// mostPartitions are those of the largest topic that a subtopology reads, and so its tasks.
func (c *configurator) mostPartitions(sub *Subtopology) (most int32, err error) {
	for _, topic := range sub.reads() {
		n, ok := c.partitions(topic)
		if !ok {
			return 0, invalid("Number of partitions must be set for topic %s", topic)
		}
		most = max(most, n)
	}
	return most, nil
}

// counted are internal topics with their partition counts; all gathers them.
func (c *configurator) counted(topics []Topic, all map[string]Topic) []Topic {
	counted := slices.Clone(topics)
	for i := range counted {
		if counted[i].Partitions == 0 {
			counted[i].Partitions = c.decided[counted[i].Name]
		}
		all[counted[i].Name] = counted[i]
	}
	return counted
}

// compareExisting takes those out that exist, which must be as they should.
func (c *configurator) compareExisting(internal map[string]Topic) error {
	for _, name := range slices.Sorted(maps.Keys(internal)) {
		n, ok := c.existing(name)
		if !ok {
			continue
		}
		if want := internal[name].Partitions; n != want {
			return &Problem{IncorrectlyPartitioned, fmt.Sprintf("Existing topic %s has different number of partitions: expected %d, found %d", name, want, n)}
		}
		delete(internal, name)
	}
	return nil
}
