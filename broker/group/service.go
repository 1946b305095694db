package group

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// maxNameBytes bounds group ids, member ids and the like: records hold their length in 15 bits.
const maxNameBytes = 16384

// Config is what the group coordinator is made of.
type Config struct {
	Log            coordinator.Log       // of __consumer_offsets
	PartitionCount func() int32          // of __consumer_offsets; 0 while the topic does not exist
	Leaderships    Leaderships           // of its partitions; nil: nobody else can lead one
	Settings       func() Settings       // nil: DefaultSettings
	Topics         func() Topics         // the topics of the cluster, as they are now; nil: there are none
	ShareStates    ShareStates           // of share groups; nil: there are none, so that nothing is assigned to share groups
	Clock          func() time.Time      // nil: time.Now
	Logger         *slog.Logger          // nil: discards
	Registerer     prometheus.Registerer // nil: no metrics
}

// Leaderships say whether another broker may lead a partition of __consumer_offsets without this one knowing of it.
type Leaderships interface {
	// Standing returns the leader epoch in which this broker leads, and whether that is in doubt. It does not wait.
	Standing(partition int32) (leaderEpoch int32, doubtful bool)
	// Confirm reports that what was read in a leader epoch is no older than what anybody was told before. It asks others where
	// it has to.
	Confirm(ctx context.Context, partition, leaderEpoch int32) bool
}

// Service is the group coordinator of one broker. Its methods named after Kafka APIs block until the answer is ready,
// which for JoinGroup may take the rebalance timeout; they also end with ctx, and then the answer means nothing.
type Service struct {
	cfg     Config
	runtime *coordinator.Runtime
	metrics *metrics
	// initializing are what share coordinators are being asked for.
	initializing *initializations
}

// Caller is who sent a request.
type Caller struct {
	Tenant     string // security.DefaultTenant where there are none
	ClientID   string
	ClientHost string // as DescribeGroups shows it: "/127.0.0.1"
	// Unhurried says that the client gives a heartbeat no longer to be answered than the interval that it was told last, or that
	// nobody knows whether it does.
	Unhurried bool
	// Steady says that the client works on with what it has while it waits for the answer to SyncGroup, and names that as its own,
	// of the generation it has joined, when it then joins another; and that it takes this from others when it leads.
	Steady bool
}

// CommittedOffset is one committed offset of a group, for lag metrics.
type CommittedOffset struct {
	Tenant, Group, Topic string
	Partition            int32
	Offset               int64
}

// New makes the coordinator. It holds nothing until OnElection.
func New(cfg Config) *Service {
	if cfg.Settings == nil {
		cfg.Settings = DefaultSettings
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Topics == nil {
		cfg.Topics = func() Topics { return noTopics{} }
	}
	cfg.Settings = cached(cfg.Settings, cfg.Clock)
	s := &Service{cfg: cfg, initializing: newInitializations()}
	s.runtime = coordinator.New(coordinator.Config{
		Name: "__consumer_offsets",
		Log:  cfg.Log,
		NewShard: func(int32) coordinator.Shard {
			return &countedShard{shard: newShard(cfg.Settings, cfg.Topics), metrics: s.metrics}
		},
		MaxBatchBytes: func() int { return int(cfg.Settings().MaxBatchBytes) },
		WriteTimeout:  func() time.Duration { return millis(cfg.Settings().OffsetCommitTimeoutMillis) },
		Clock:         cfg.Clock,
		Logger:        cfg.Logger,
	})
	s.metrics = newMetrics(cfg.Registerer, func() float64 {
		_, loaded := s.runtime.Partitions()
		return float64(loaded)
	})
	return s
}

// Close ends every shard; requests that wait are answered NOT_COORDINATOR. The log must outlive it.
func (s *Service) Close() {
	s.initializing.close()
	s.runtime.Close()
}

// OnElection says that this broker leads the partition of __consumer_offsets since leaderEpoch: its groups are loaded.
// It returns at once.
func (s *Service) OnElection(partition, leaderEpoch int32) {
	s.runtime.OnElection(partition, leaderEpoch)
}

// OnResignation says that this broker no longer leads the partition.
func (s *Service) OnResignation(partition int32) { s.runtime.OnResignation(partition) }

// OnTopicDeleted drops every group's offsets of the topic. It returns at once.
func (s *Service) OnTopicDeleted(tenant, topic string) { s.runtime.Tell(topicDeleted{tenant, topic}) }

// OnTopicsChanged has groups that subscribe to these topics of a tenant assigned anew. It returns at once.
func (s *Service) OnTopicsChanged(tenant string, names map[string]bool) {
	s.runtime.Tell(topicsChanged{tenant, names})
}

// PartitionFor is the partition of __consumer_offsets that holds the group; -1 while the topic does not exist.
func (s *Service) PartitionFor(tenant, groupID string) int32 {
	return s.partitionOf(groupKey{tenant, groupID})
}

func (s *Service) partitionOf(key groupKey) int32 {
	return coordinator.PartitionFor(key.onDisk(), s.cfg.PartitionCount())
}

// CommittedOffsets yields the offsets of every group of the loaded partitions.
func (s *Service) CommittedOffsets(ctx context.Context) iter.Seq[CommittedOffset] {
	return func(yield func(CommittedOffset) bool) {
		ids, _ := s.runtime.Partitions()
		for _, id := range ids {
			answer, err := s.runtime.Submit(ctx, id, committedRequest{})
			if err != nil {
				continue // it loads, or is lost: its groups are somebody else's to tell of
			}
			for _, o := range answer.([]CommittedOffset) {
				if !yield(o) {
					return
				}
			}
		}
	}
}

// ask steps the shard that holds the group.
func (s *Service) ask(ctx context.Context, key groupKey, event any) (any, *kerr.Error) {
	answer, err := s.runtime.Submit(ctx, s.partitionOf(key), event)
	if err != nil {
		return nil, coordinator.Refusal(err)
	}
	return answer, nil
}

// isMemberGroupID says whether members may use the id; offsets may be stored under the empty one, too.
func isMemberGroupID(id string) bool { return id != "" && len(id) <= maxNameBytes }
