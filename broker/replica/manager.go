package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/log/compact"
	"github.com/millrace-io/millrace/broker/log/scrub"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
)

// Config says what a Manager needs to know. Fixed after New.
type Config struct {
	NodeID   int32
	Dirs     []*log.Dir
	Settings *config.Resolver
	// MissingDirs says that a configured log directory could not be opened. A partition that existed before the start
	// and is in none of Dirs is then offline, rather than started anew without its records.
	MissingDirs bool

	RetentionCheckInterval time.Duration // log.retention.check.interval.ms; default 5 min
	CleanerInterval        time.Duration // above 0: instead of log.cleaner.backoff.ms
	CleanerDisabled        bool          // whatever log.cleaner.enable says
	OpenConcurrency        int           // logs opened at a time when the first image arrives; default 64: each waits for a flush, which they share

	Cluster // the other brokers; zero: there are none

	Clock      func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer // optional
}

// Validate reports every fault of the configuration at once.
func (c *Config) Validate() error {
	var faults []error
	if c.NodeID < 0 {
		faults = append(faults, errors.New("NodeID must not be negative"))
	}
	if len(c.Dirs) == 0 {
		faults = append(faults, errors.New("there is no log directory"))
	}
	if c.Settings == nil || c.Clock == nil || c.Logger == nil {
		faults = append(faults, errors.New("Settings, Clock and Logger must be set"))
	}
	return errors.Join(faults...)
}

// Manager knows every topic and the partitions of this broker.
type Manager struct {
	cfg    Config
	ended  chan struct{}
	cancel context.CancelFunc // ends the cleaner and the proposer
	group  sync.WaitGroup

	fetchers  *fetchers            // fixed after New
	proposer  *proposer            // fixed after New
	confirmer *confirmer           // fixed after New
	cleaner   *compact.Cleaner     // fixed after New
	scrubber  *scrub.Scrubber      // fixed after New
	current   atomic.Pointer[view] // of the last delta

	someIrregular atomic.Bool // Irregular has returned something, or might

	metrics    *metrics // fixed after New
	throttles  throttles
	sessionsMu sync.Mutex
	sessions   map[int32]*FollowerSession // guarded by sessionsMu: by id

	mu          sync.RWMutex
	byID        map[image.TopicID]*Topic     // guarded by mu
	byName      map[string]map[string]*Topic // guarded by mu: tenant, name
	dirLoad     map[*log.Dir]int             // guarded by mu: partitions by directory
	onDisk      map[diskKey]*log.Dir         // guarded by mu: found at start and not yet claimed
	initialized bool                         // guarded by mu: the first delta was applied
	lacksDirs   bool                         // guarded by mu: the broker had log directories, as the first delta says, that it has not
	givenUp     map[*log.Dir]bool            // guarded by mu: failed, and every partition in it is offline
	caughtUp    bool                         // guarded by mu: the image holds everything from before the start
	defaults    *Settings                    // guarded by mu: of topics without overrides; nil: to be resolved
}

type diskKey struct {
	id        log.TopicID
	partition int32
}

// New makes a manager of the partitions in its directories; Apply tells it which of them exist. Close ends it.
func New(cfg Config) (*Manager, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.RetentionCheckInterval <= 0 {
		cfg.RetentionCheckInterval = 5 * time.Minute
	}
	if cfg.OpenConcurrency <= 0 {
		cfg.OpenConcurrency = 64
	}
	m := &Manager{
		cfg: cfg, ended: make(chan struct{}), byID: map[image.TopicID]*Topic{}, byName: map[string]map[string]*Topic{},
		dirLoad: map[*log.Dir]int{}, onDisk: map[diskKey]*log.Dir{}, sessions: map[int32]*FollowerSession{}, givenUp: map[*log.Dir]bool{},
	}
	m.cfg.setDefaults()
	m.see(image.Empty())
	m.configureThrottles(image.Empty())
	m.fetchers, m.proposer, m.confirmer = newFetchers(m), newProposer(m), newConfirmer(m)
	for _, dir := range cfg.Dirs {
		m.dirLoad[dir] = 0
		for _, tp := range dir.Partitions() {
			key := diskKey{tp.TopicID, tp.Partition}
			if other := m.onDisk[key]; other != nil {
				return nil, fmt.Errorf("partition %s-%d is in two log directories, %s and %s: one was away when the other took its place; remove it there",
					tp.Topic, tp.Partition, other.Path(), dir.Path())
			}
			m.onDisk[key] = dir
		}
	}
	var err error
	m.cleaner, err = compact.NewCleaner(compact.Config{Dirs: cfg.Dirs, Logger: cfg.Logger, Clock: cfg.Clock, Registerer: cfg.Registerer,
		Settings: m.cleanerSettings(image.Empty())})
	if err != nil {
		return nil, err
	}
	m.scrubber, err = scrub.New(scrub.Config{Dirs: cfg.Dirs, Logger: cfg.Logger, Registerer: cfg.Registerer,
		Settings: m.scrubSettings(image.Empty()), Repair: m.mend})
	if err != nil {
		return nil, err
	}
	var ctx context.Context
	ctx, m.cancel = context.WithCancel(context.Background())
	m.metrics = newMetrics(cfg.Registerer, m)
	for _, dir := range cfg.Dirs {
		m.group.Go(func() { m.watchDir(dir) })
		m.group.Go(func() { m.watchRoom(dir) })
	}
	m.group.Go(m.sweep)
	if cfg.Controller != nil {
		m.group.Go(func() { m.proposer.run(ctx) })
		m.group.Go(m.watchLag)
	}
	m.group.Go(func() { m.scrubber.Run(ctx) })
	if !cfg.CleanerDisabled && cfg.Settings.Broker(image.Empty()).Bool("log.cleaner.enable") {
		m.group.Go(func() { m.cleaner.Run(ctx) })
	}
	return m, nil
}

// Close ends the manager's goroutines and wakes everybody who waits. The directories are closed by their owner.
func (m *Manager) Close() {
	close(m.ended)
	m.cancel()
	m.confirmer.close()
	m.fetchers.close()
	m.group.Wait()
	for _, p := range m.Partitions() {
		p.leadership.Store(nil)
		p.wakeAll()
	}
}

// TopicByID returns the topic, nil when there is none.
func (m *Manager) TopicByID(id image.TopicID) *Topic {
	m.mu.RLock()
	t := m.byID[id]
	m.mu.RUnlock()
	return t
}

// TopicByName returns the topic, nil when there is none. The name is bytes because that is what requests hold.
func (m *Manager) TopicByName(tenant string, name []byte) *Topic {
	m.mu.RLock()
	t := m.byName[tenant][string(name)]
	m.mu.RUnlock()
	return t
}

// Partition finds a partition by its topic's id.
func (m *Manager) Partition(id image.TopicID, number int32) (*Partition, *kerr.Error) {
	t := m.TopicByID(id)
	if t == nil {
		return nil, kerr.UnknownTopicID
	}
	return m.Find(t, number)
}

// ByName finds a partition by its topic's name.
func (m *Manager) ByName(tenant, topic string, number int32) (*Partition, *kerr.Error) {
	return m.ByNameAt(tenant, topic, number, AnyEpoch)
}

// ByNameAt is ByName for who says which leader epoch it knows; see FindAt.
func (m *Manager) ByNameAt(tenant, topic string, number, currentEpoch int32) (*Partition, *kerr.Error) {
	m.mu.RLock()
	t := m.byName[tenant][topic]
	m.mu.RUnlock()
	if t == nil {
		return nil, kerr.UnknownTopicOrPartition
	}
	return m.FindAt(t, number, currentEpoch)
}

// Find returns a partition of the topic that this broker leads and can use.
func (m *Manager) Find(t *Topic, number int32) (*Partition, *kerr.Error) {
	return m.FindAt(t, number, AnyEpoch)
}

// FindAt is Find for who says which leader epoch it knows, AnyEpoch if none. As in Kafka the epoch is compared before it
// is asked who leads (Partition.localLogWithEpochOrThrow): so a replica tells a client that its metadata are older, or
// newer, than its own, whoever leads.
func (m *Manager) FindAt(t *Topic, number, currentEpoch int32) (*Partition, *kerr.Error) {
	p := t.Partition(number)
	if p == nil {
		if number >= 0 && int(number) < t.PartitionCount() {
			return nil, kerr.NotLeaderForPartition
		}
		return nil, kerr.UnknownTopicOrPartition
	}
	if currentEpoch != AnyEpoch {
		if err := p.readableAt(currentEpoch); err != nil {
			return nil, asKafka(err)
		}
	}
	if err := p.Err(); err != nil {
		return nil, asKafka(err)
	}
	return p, nil
}

// FindReadable is FindAt for who may also read from a follower (KIP-392).
func (m *Manager) FindReadable(t *Topic, number, currentEpoch int32) (*Partition, *kerr.Error) {
	p := t.Partition(number)
	if p == nil || p.Leads() {
		return m.FindAt(t, number, currentEpoch)
	}
	if err := p.readableAt(currentEpoch); err != nil {
		return nil, asKafka(err)
	}
	return p, nil
}

// asKafka returns the protocol's error in err.
func asKafka(err error) *kerr.Error {
	var known *kerr.Error
	if errors.As(err, &known) {
		return known
	}
	return kerr.UnknownServerError
}

func (m *Manager) allTopics() []*Topic {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := make([]*Topic, 0, len(m.byID))
	for _, t := range m.byID {
		all = append(all, t)
	}
	return all
}

// Partitions returns the partitions that have a replica on this broker, in no particular order.
func (m *Manager) Partitions() []*Partition {
	var all []*Partition
	for _, t := range m.allTopics() {
		for _, p := range *t.partitions.Load() {
			if p != nil {
				all = append(all, p)
			}
		}
	}
	return all
}

// Dirs returns the log directories.
func (m *Manager) Dirs() []*log.Dir { return m.cfg.Dirs }
