package state

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// TopicName is the internal topic of share states.
const TopicName = "__share_group_state"

// Settings are Kafka's settings of the share coordinator, resolved by the caller from broker configuration.
type Settings struct {
	UpdatesPerSnapshot   int           // share.coordinator.snapshot.update.records.per.snapshot
	WriteTimeout         time.Duration // share.coordinator.write.timeout.ms
	ColdSnapshotInterval time.Duration // share.coordinator.cold.partition.snapshot.interval.ms
	PruneInterval        time.Duration // share.coordinator.state.topic.prune.interval.ms
	MaxBatchBytes        int           // max.message.bytes of the topic
}

// DefaultSettings are Kafka's defaults.
func DefaultSettings() Settings {
	return Settings{UpdatesPerSnapshot: 500, WriteTimeout: 5 * time.Second, ColdSnapshotInterval: 5 * time.Minute,
		PruneInterval: 5 * time.Minute, MaxBatchBytes: 1048588}
}

// Config is what the share coordinator is made of.
type Config struct {
	Log            coordinator.Log // of __share_group_state
	PartitionCount func() int32    // of __share_group_state; 0 while the topic does not exist
	// Exists reports whether a topic has that partition.
	Exists func(topic [16]byte, partition int32) bool
	// Prune deletes what lies below an offset of a partition of __share_group_state; nil: nothing is deleted.
	Prune      func(partition int32, offset int64) error
	Settings   func() Settings       // nil: DefaultSettings
	Clock      func() time.Time      // nil: time.Now
	Logger     *slog.Logger          // nil: discards
	Registerer prometheus.Registerer // nil: no metrics
}

// Service is the share coordinator of one broker: its methods named after Kafka APIs block until the answer is ready.
type Service struct {
	cfg     Config
	runtime *coordinator.Runtime
	metrics *metrics

	closing chan struct{}
	pruning sync.WaitGroup
}

// NewService makes the coordinator. It holds nothing until OnElection.
func NewService(cfg Config) *Service {
	if cfg.Settings == nil {
		cfg.Settings = DefaultSettings
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{cfg: cfg, closing: make(chan struct{}), metrics: newMetrics(cfg.Registerer)}
	s.runtime = coordinator.New(coordinator.Config{
		Name: TopicName, Log: cfg.Log,
		NewShard:      func(int32) coordinator.Shard { return &countedShard{shard: newShard(cfg.Settings), metrics: s.metrics} },
		MaxBatchBytes: func() int { return cfg.Settings().MaxBatchBytes },
		WriteTimeout:  func() time.Duration { return cfg.Settings().WriteTimeout },
		Clock:         cfg.Clock, Logger: cfg.Logger,
	})
	s.pruning.Go(s.prune)
	return s
}

// Close ends every shard; requests that wait are answered NOT_COORDINATOR. The log must outlive it.
func (s *Service) Close() {
	close(s.closing)
	s.runtime.Close()
	s.pruning.Wait()
}

// OnElection says that this broker leads the partition of __share_group_state since leaderEpoch. It returns at once.
func (s *Service) OnElection(partition, leaderEpoch int32) {
	s.runtime.OnElection(partition, leaderEpoch)
}

// OnResignation says that this broker no longer leads the partition.
func (s *Service) OnResignation(partition int32) { s.runtime.OnResignation(partition) }

// OnTopicDeleted drops every group's state of the topic. It returns at once.
func (s *Service) OnTopicDeleted(topic [16]byte) { s.runtime.Tell(topicDeleted{topic}) }

// PartitionFor is the partition of __share_group_state that holds the key; -1 while the topic does not exist.
func (s *Service) PartitionFor(k Key) int32 { return PartitionFor(k, s.cfg.PartitionCount()) }

// ask steps the shards that hold the items, all at once; the results are in the order of the items. A partition that must
// not exist, as in Kafka, is one that must have a state, which goes with its topic.
func (s *Service) ask(ctx context.Context, items []item, mustExist bool, event func([]item) any) []result {
	results := make([]result, len(items))
	byShard := map[int32][]int{}
	for i := range items {
		switch k := items[i].key; {
		case k.Partition < 0:
			results[i] = refused(kerr.InvalidRequest, "The partition id cannot be a negative number.")
		case mustExist && !s.cfg.Exists(k.Topic, k.Partition):
			results[i] = refused(kerr.UnknownTopicOrPartition, "")
		default:
			shard := s.PartitionFor(k)
			byShard[shard] = append(byShard[shard], i)
		}
	}
	var asking sync.WaitGroup // at most as many as the topic has partitions
	for shard, indexes := range byShard {
		asking.Go(func() {
			asked := make([]item, len(indexes))
			for n, i := range indexes {
				asked[n] = items[i]
			}
			answer, err := s.runtime.Submit(ctx, shard, event(asked))
			for n, i := range indexes {
				if err != nil {
					results[i] = refused(coordinator.Refusal(err), "")
				} else {
					results[i] = answer.([]result)[n]
				}
			}
		})
	}
	asking.Wait()
	return results
}

// prune has the log deleted as far as snapshots have replaced it.
func (s *Service) prune() {
	for s.cfg.Prune != nil {
		select {
		case <-s.closing:
			return
		case <-time.After(s.cfg.Settings().PruneInterval):
		}
		s.pruneOnce(context.Background())
	}
}

func (s *Service) pruneOnce(ctx context.Context) {
	ids, _ := s.runtime.Partitions()
	for _, id := range ids {
		answer, err := s.runtime.Submit(ctx, id, redundantRequest{})
		if err != nil || answer.(int64) <= 0 {
			continue
		}
		if err := s.cfg.Prune(id, answer.(int64)); err != nil {
			s.cfg.Logger.Warn("cannot prune share states", "topic", TopicName, "partition", id, "offset", answer, "err", err)
		}
	}
}
