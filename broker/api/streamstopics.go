package api

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/group/topology"
	"github.com/millrace-io/millrace/metadata/controller"
)

const (
	maxCreationFaults = 1000             // that are remembered
	creationFaultAge  = 10 * time.Second // before another attempt: two of Kafka's heartbeats
)

// creationFault is why an internal topic of a Streams application could not be created.
type creationFault struct {
	reason string
	until  time.Time
}

// createStreamsTopic starts the creation of an internal topic, once however many members ask for it. When the last attempt has
// failed a moment ago it returns why, instead.
func (s *Services) createStreamsTopic(tenant string, topic topology.Topic) (fault string) {
	name := topicName{tenant, topic.Name}
	if fault, known := s.topics.fault(name, s.Clock()); known {
		return fault
	}
	wanted := controller.NewTopic{Name: topic.Name, PartitionCount: topic.Partitions, ReplicationFactor: topic.ReplicationFactor}
	if wanted.ReplicationFactor == 0 {
		wanted.ReplicationFactor = -1
	}
	for i := range topic.Configs {
		if wanted.Configs == nil {
			wanted.Configs = make(map[string]*string, len(topic.Configs))
		}
		wanted.Configs[topic.Configs[i].Name] = &topic.Configs[i].Value
	}
	s.topics.start(name, func(ctx context.Context, _ topicName) error {
		ctx, cancel := context.WithTimeout(ctx, autoCreationTimeout)
		defer cancel()
		err := s.createTopic(ctx, tenant, wanted)
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			_, reason := protocolError(err)
			s.topics.failed(name, creationFault{reason, s.Clock().Add(creationFaultAge)})
			s.Logger.Warn("internal topic of a streams group was not created", "topic", topic.Name, "error", err)
		}
		return err
	})
	return ""
}

// fault is why the creation of a topic has failed a moment ago.
func (t *topicCreator) fault(name topicName, now time.Time) (reason string, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fault, known := t.faults[name]
	if known && !now.Before(fault.until) {
		delete(t.faults, name)
		return "", false
	}
	return fault.reason, known
}

// failed notes a fault. When there are too many, any of them goes: its topic is tried again sooner.
func (t *topicCreator) failed(name topicName, fault creationFault) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.faults == nil {
		t.faults = map[topicName]creationFault{}
	}
	for known := range t.faults {
		if len(t.faults) < maxCreationFaults {
			break
		}
		delete(t.faults, known)
	}
	t.faults[name] = fault
}
