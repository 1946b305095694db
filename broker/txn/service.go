package txn

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/coordinator"
)

const (
	// maxIDBytes bounds transactional ids: records hold their length in 15 bits.
	maxIDBytes = 16384
	// clientPatience is how long a client's request may wait for the completion of the transaction before, instead of being told
	// to come again; brokerPatience the same for a broker, on whose connection others wait behind it.
	clientPatience = 100 * time.Millisecond
	brokerPatience = 20 * time.Millisecond
)

// Config is what the transaction coordinator is made of.
type Config struct {
	Log            coordinator.Log // of __transaction_state
	PartitionCount func() int32    // of __transaction_state; 0 while the topic does not exist
	// NextProducerID returns a producer id that nobody has.
	NextProducerID func(context.Context) (int64, error)
	Brokers        Brokers
	Settings       func() Settings       // nil: DefaultSettings
	Clock          func() time.Time      // nil: time.Now
	Logger         *slog.Logger          // nil: discards
	Registerer     prometheus.Registerer // nil: no metrics
}

// Service is the transaction coordinator of one broker. Its methods named after Kafka APIs block until the answer is ready;
// they also end with ctx, and then nobody knows what became of the request.
type Service struct {
	cfg     Config
	runtime *coordinator.Runtime
	markers *markers
	metrics *metrics
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
	cfg.Settings = cached(cfg.Settings, cfg.Clock)
	s := &Service{cfg: cfg}
	s.metrics = newMetrics(cfg.Registerer, func() float64 {
		_, loaded := s.runtime.Partitions()
		return float64(loaded)
	})
	s.markers = newMarkers(cfg.Brokers, cfg.Logger, s.metrics, func(partition int32, done []completed) {
		s.runtime.Notify(partition, done)
	})
	s.runtime = coordinator.New(coordinator.Config{
		Name: "__transaction_state",
		Log:  cfg.Log,
		NewShard: func(partition int32) coordinator.Shard {
			return &runningShard{shard: newShard(cfg.Settings), partition: partition, markers: s.markers, metrics: s.metrics}
		},
		MaxBatchBytes: func() int { return int(cfg.Settings().MaxBatchBytes) },
		WriteTimeout:  func() time.Duration { return millis(cfg.Settings().WriteTimeoutMillis) },
		Clock:         cfg.Clock,
		Logger:        cfg.Logger,
	})
	return s
}

// Close ends every shard, then the sending of markers; requests that wait are answered NOT_COORDINATOR. The log must outlive it.
func (s *Service) Close() {
	s.runtime.Close()
	s.markers.close()
}

// OnElection says that this broker leads the partition of __transaction_state since leaderEpoch: its transactions are loaded,
// and those that were decided are completed. It returns at once.
func (s *Service) OnElection(partition, leaderEpoch int32) {
	s.runtime.OnElection(partition, leaderEpoch)
}

// OnResignation says that this broker no longer leads the partition.
func (s *Service) OnResignation(partition int32) { s.runtime.OnResignation(partition) }

// PartitionFor is the partition of __transaction_state, of so many, that holds the transactional id; -1 where there are none.
func PartitionFor(tenant, transactionalID string, count int32) int32 {
	return coordinator.PartitionFor(key{tenant, transactionalID}.onDisk(), count)
}

// PartitionFor is the partition that holds the transactional id; -1 while the topic does not exist.
func (s *Service) PartitionFor(tenant, transactionalID string) int32 {
	return PartitionFor(tenant, transactionalID, s.cfg.PartitionCount())
}

// InitProducerID gives a producer the transactional id: an epoch that nobody had, which shuts out whoever had the id before. A
// transaction that is open is aborted first. A producer that goes on after an error says who it is.
func (s *Service) InitProducerID(ctx context.Context, tenant, id string, timeoutMillis int32, expected Producer) (Producer, *kerr.Error) {
	settings := s.cfg.Settings()
	if !validID(id) {
		return nobody(), kerr.InvalidRequest
	}
	if timeoutMillis <= 0 || timeoutMillis > settings.MaxTimeoutMillis {
		return nobody(), kerr.InvalidTransactionTimeout
	}
	answer, err := s.ask(ctx, key{tenant, id}, func(fresh int64) request {
		return initRequest{timeoutMillis, expected, fresh, settings.Version, clientPatience}
	})
	return producerOf(answer), err
}

// AddPartitions adds partitions to the producer's transaction, which begins if there is none. version is that of the producer's
// transactions; fromBroker says that a broker asks, for one whose partitions are added by its writes.
func (s *Service) AddPartitions(ctx context.Context, tenant, id string, producer Producer, partitions []Partition, version int16, fromBroker bool) *kerr.Error {
	if !validID(id) {
		return kerr.InvalidRequest
	}
	patience := clientPatience
	if fromBroker {
		patience = brokerPatience
	}
	r := addRequest{producer, ordered(partitions), version, patience}
	_, err := s.ask(ctx, key{tenant, id}, func(int64) request { return r })
	return err
}

// VerifyPartitions says for each partition why a write to it does not belong to the producer's transaction; nil: it does.
func (s *Service) VerifyPartitions(ctx context.Context, tenant, id string, producer Producer, partitions []Partition) ([]*kerr.Error, *kerr.Error) {
	if !validID(id) {
		return nil, kerr.InvalidRequest
	}
	r := verifyRequest{producer, partitions}
	answer, err := s.ask(ctx, key{tenant, id}, func(int64) request { return r })
	if err != nil {
		return nil, err
	}
	return answer.([]*kerr.Error), nil
}

// EndTxn commits or aborts. It returns once the decision is committed; the markers follow. With version 2 the producer goes on
// under the identity that is returned.
func (s *Service) EndTxn(ctx context.Context, tenant, id string, producer Producer, commit bool, version int16) (Producer, *kerr.Error) {
	if !validID(id) {
		return nobody(), kerr.InvalidRequest
	}
	answer, err := s.ask(ctx, key{tenant, id}, func(fresh int64) request {
		return endRequest{producer, commit, version, fresh, clientPatience}
	})
	return producerOf(answer), err
}

func producerOf(answer any) Producer {
	if p, ok := answer.(Producer); ok {
		return p
	}
	return nobody()
}

// Describe tells of one transactional id.
func (s *Service) Describe(ctx context.Context, tenant, id string) (Description, *kerr.Error) {
	if !validID(id) {
		return Description{}, kerr.InvalidRequest
	}
	answer, err := s.submit(ctx, key{tenant, id}, describeRequest{key{tenant, id}})
	if err != nil {
		return Description{}, err
	}
	return answer.(Description), nil
}

// List tells of the transactions of a tenant that this broker coordinates. A partition that cannot answer is an error for all:
// a list with holes would look whole.
func (s *Service) List(ctx context.Context, tenant string, filter Filter) ([]Description, *kerr.Error) {
	ids, _ := s.runtime.Partitions()
	slices.Sort(ids)
	var all []Description
	for _, id := range ids {
		answer, err := s.runtime.Submit(ctx, id, listRequest{tenant, filter})
		if errors.Is(err, kerr.NotCoordinator) {
			continue // lost since: its transactions are on another broker's list
		}
		if err != nil {
			return nil, coordinator.Refusal(err)
		}
		all = append(all, answer.([]Description)...)
	}
	return all, nil
}

// ask has a request decided, with a producer id if it turns out to need one.
func (s *Service) ask(ctx context.Context, k key, with func(fresh int64) request) (any, *kerr.Error) {
	answer, err := s.submit(ctx, k, asked{k, with(noProducerID)})
	if _, wants := answer.(wantsProducerID); !wants {
		return answer, err
	}
	fresh, failed := s.cfg.NextProducerID(ctx)
	if failed != nil {
		s.cfg.Logger.Warn("no producer id could be had", "error", failed)
		return nil, kerr.CoordinatorLoadInProgress
	}
	answer, err = s.submit(ctx, k, asked{k, with(fresh)})
	if _, wants := answer.(wantsProducerID); wants {
		return nil, kerr.ConcurrentTransactions // no request wants one that it has: this is for the compiler's peace
	}
	return answer, err
}

func (s *Service) submit(ctx context.Context, k key, event any) (any, *kerr.Error) {
	answer, err := s.runtime.Submit(ctx, s.PartitionFor(k.tenant, k.id), event)
	if err != nil {
		return nil, coordinator.Refusal(err)
	}
	if r, ok := answer.(refused); ok {
		return nil, r.err
	}
	return answer, nil
}

func validID(id string) bool { return id != "" && len(id) <= maxIDBytes }
