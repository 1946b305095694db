package api

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/controller"
)

const (
	maxAutoCreations       = 64               // in the background at the same time; beyond it clients ask again
	autoCreationWaitMillis = 200              // how long an answer waits for the topics that it started to create
	autoCreationTimeout    = 30 * time.Second // Kafka's request.timeout.ms
	autoCreationWait       = autoCreationWaitMillis * time.Millisecond
)

// topicCreator runs the creation of topics that a request named and that do not exist: one at a time for each name. Its
// zero value is ready.
type topicCreator struct {
	mu       sync.Mutex
	running  map[topicName]*creation     // guarded by mu
	faults   map[topicName]creationFault // guarded by mu
	closing  context.Context             // guarded by mu, made by the first creation
	cancel   context.CancelFunc          // guarded by mu
	closed   bool                        // guarded by mu
	creators sync.WaitGroup              // added to under mu while not closed
}

type topicName struct{ tenant, name string }

// creation is one topic on its way. err is written before done is closed.
type creation struct {
	done chan struct{}
	err  error
}

// autoCreate starts the creation of topics in the background, each once however many ask for it. A topic that is missing
// in the result was not started because too many are under way; asking again is safe.
func (s *Services) autoCreate(tenant string, names []string) map[string]*creation {
	started := make(map[string]*creation, min(len(names), maxAutoCreations))
	for _, name := range names {
		if one := s.topics.start(topicName{tenant, name}, s.createOne); one != nil {
			started[name] = one
		}
	}
	return started
}

// awaitCreation starts the creation of topics, waits a moment for them, and returns the error code of each that the image
// will not show.
func (s *Services) awaitCreation(ctx context.Context, tenant string, names []string) map[string]int16 {
	started := s.autoCreate(tenant, names)
	ctx, cancel := context.WithTimeout(ctx, autoCreationWait)
	defer cancel()
	outcomes := make(map[string]int16, len(names))
	for _, name := range names {
		outcomes[name] = kerr.LeaderNotAvailable.Code
		if one := started[name]; one != nil {
			select {
			case <-one.done:
				outcomes[name] = creationCode(one.err)
			case <-ctx.Done():
			}
		}
	}
	return outcomes
}

// creationCode is what a client is told of a topic that it wanted created: to ask again, unless that is no use.
func creationCode(err error) int16 {
	if err == nil || errors.Is(err, kerr.TopicAlreadyExists) {
		return kerr.LeaderNotAvailable.Code
	}
	code, _ := protocolError(err)
	if code == kerr.UnknownServerError.Code || kerr.IsRetriable(kerr.ErrorForCode(code)) {
		return kerr.LeaderNotAvailable.Code
	}
	return code
}

func (s *Services) createOne(ctx context.Context, topic topicName) error {
	ctx, cancel := context.WithTimeout(ctx, autoCreationTimeout)
	defer cancel()
	err := s.createTopic(ctx, topic.tenant, s.newTopic(topic.name))
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		s.Logger.Warn("topic was not created automatically", "topic", topic.name, "error", err)
	}
	return err
}

// newTopic is what is created for a name: the internal topics have settings of their own.
func (s *Services) newTopic(name string) controller.NewTopic {
	topic := controller.NewTopic{Name: name, PartitionCount: -1, ReplicationFactor: -1}
	settings := s.Settings.Broker(s.Metadata.Image())
	prefix := map[string]string{
		groupMetadataTopic: "offsets.topic.", transactionStateTopic: "transaction.state.log.", shareGroupStateTopic: "share.coordinator.state.topic.",
	}[name]
	if prefix == "" {
		return topic
	}
	topic.PartitionCount = settings.Int32(prefix + "num.partitions")
	topic.ReplicationFactor = s.internalReplicationFactor(settings, prefix+"replication.factor")
	policy, producer := "compact", "producer"
	segment := strconv.FormatInt(settings.Int64(prefix+"segment.bytes"), 10)
	topic.Configs = map[string]*string{"cleanup.policy": &policy, "compression.type": &producer, "segment.bytes": &segment}
	if name != groupMetadataTopic {
		inSync := strconv.Itoa(int(min(int16(settings.Int32(prefix+"min.isr")), topic.ReplicationFactor)))
		topic.Configs["min.insync.replicas"] = &inSync
	}
	if name == shareGroupStateTopic {
		// Updates add to the snapshot before them, so the last record of a key is not enough; the share coordinator deletes what
		// snapshots have replaced.
		policy = "delete"
		forever := "-1"
		topic.Configs["retention.ms"] = &forever
	}
	return topic
}

// internalReplicationFactor is what the setting says where somebody has set it. Kafka's default of 3 would leave a cluster
// of one or two brokers without groups for ever, so the default is as many as there are brokers, up to that. Members of the
// quorum count although they have not registered yet: what is created while a cluster starts is not to stay with one replica.
func (s *Services) internalReplicationFactor(settings config.Effective, name string) int16 {
	factor := int16(settings.Int32(name))
	if settings.Source(name) != config.SourceDefault {
		return factor
	}
	var brokers int
	for range s.Metadata.Image().Brokers() {
		brokers++
	}
	quorum := s.Metadata.Quorum()
	members := len(quorum.Voters) + len(quorum.Observers)
	return max(min(factor, int16(min(max(brokers, members), 1<<15-1))), 1)
}

// start begins the creation of a topic unless it is under way; nil where too many are.
func (t *topicCreator) start(topic topicName, create func(context.Context, topicName) error) *creation {
	t.mu.Lock()
	defer t.mu.Unlock()
	if one := t.running[topic]; one != nil {
		return one
	}
	if t.closed || len(t.running) >= maxAutoCreations {
		return nil
	}
	if t.running == nil {
		t.running = map[topicName]*creation{}
		t.closing, t.cancel = context.WithCancel(context.Background())
	}
	one := &creation{done: make(chan struct{})}
	t.running[topic] = one
	ctx := t.closing
	t.creators.Go(func() {
		one.err = create(ctx, topic)
		t.mu.Lock()
		delete(t.running, topic)
		t.mu.Unlock()
		close(one.done)
	})
	return one
}

// close ends what is under way and waits for it.
func (t *topicCreator) close() {
	t.mu.Lock()
	t.closed = true
	if t.cancel != nil {
		t.cancel()
	}
	t.mu.Unlock()
	t.creators.Wait()
}

// Close ends what handlers have left running. No request may come after it.
func (s *Services) Close() { s.topics.close() }
