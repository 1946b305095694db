package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/millrace-io/millrace/broker/api"
	"github.com/millrace-io/millrace/broker/gateway"
	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/broker/server"
	"github.com/millrace-io/millrace/broker/share"
	"github.com/millrace-io/millrace/broker/share/state"
	"github.com/millrace-io/millrace/broker/txn"
	"github.com/millrace-io/millrace/broker/verify"
	"github.com/millrace-io/millrace/metadata"
	"github.com/millrace-io/millrace/metadata/config"
)

// Broker is one node. Start and Close are each called once; the fields below are set by Start and fixed after it.
type Broker struct {
	cfg      Config
	logger   *slog.Logger
	clock    func() time.Time
	registry *prometheus.Registry
	settings *config.Resolver
	// incarnation tells this start of the process from every other.
	incarnation [16]byte

	kafkaListener, httpListener net.Listener
	kafkaAddress                string   // of kafkaListener, with the port that was really taken
	company                     *company // nil: this node is alone
	metadata                    *metadata.Node
	dirs                        []*log.Dir
	leftOut                     []leftOut // log directories that could not be opened
	replicas                    *replica.Manager
	groups                      *group.Service
	transactions                *txn.Service
	shareStates                 *state.Service // the share coordinator
	shareClient                 *state.Client  // asks share coordinators, on this broker and others
	shares                      *share.Manager
	verifier                    *verify.Verifier
	handlers                    *api.Services
	kafka                       *server.Server
	http                        *gateway.Server

	frames  *server.Budget // what large requests may take together while they are read
	decoded *server.Budget // and once they are decoded: apart, because who waits for this holds some of the other
	// assembled says that metadata, log directories, replicas and groups are there; the HTTP listener, which answers before,
	// looks at nothing of them until then.
	assembled atomic.Bool
	serving   atomic.Bool // clients are served

	background sync.WaitGroup // joined by Close
	closing    chan struct{}  // closed when Close begins
	fatal      chan error     // capacity 1: why the process must end
}

// leftOut is a log directory that could not be opened.
type leftOut struct {
	path string
	err  error // has the path, too
}

// requestMemoryBytes bounds what the requests of all connections may take while they are read, and again once they are decoded.
const requestMemoryBytes = 512 << 20

// New checks the configuration. Nothing is touched before Start.
func New(cfg Config, logger *slog.Logger) (*Broker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Static = cfg.staticSettings()
	if err := config.CheckStatic(cfg.Static); err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &Broker{
		cfg: cfg, logger: logger, clock: time.Now, registry: registry,
		settings: config.NewResolver(cfg.NodeID, cfg.Static), incarnation: newIncarnation(),
		frames: server.NewBudget(requestMemoryBytes), decoded: server.NewBudget(requestMemoryBytes),
		closing: make(chan struct{}), fatal: make(chan error, 1),
	}, nil
}

// KafkaAddress is where Kafka clients connect, with the port that was really taken. Valid after Start.
func (b *Broker) KafkaAddress() string { return b.kafkaAddress }

// HTTPAddress is where metrics and health are served. Valid after Start.
func (b *Broker) HTTPAddress() string { return b.httpListener.Addr().String() }

// services is what the API handlers work with.
func (b *Broker) services() *api.Services {
	settings := b.settings.Broker(b.metadata.Image())
	advertised := map[string]string{}
	if b.cfg.KafkaAdvertised != "" {
		advertised[listenerName] = b.cfg.KafkaAdvertised
	}
	services := &api.Services{
		NodeID: b.cfg.NodeID, Metadata: b.metadata, Replicas: b.replicas, Groups: b.groups, TransactionCoordinator: b.transactions,
		Shares: b.shares, ShareStates: b.shareStates, ShareClient: b.shareClient, Settings: b.settings,
		Clock: b.clock, Logger: b.logger, Registerer: b.registry, MemoryBudget: b.decoded, LogLevel: b.cfg.LogLevel,
		MaxFetchSessions: int(settings.Int32("max.incremental.fetch.session.cache.slots")),
		MaxFetchBytes:    int(settings.Int32("fetch.max.bytes")),
		Advertised:       advertised,
		Transactions:     b.verifier,
	}
	for _, dir := range b.leftOut {
		services.MissingLogDirs = append(services.MissingLogDirs, dir.path)
	}
	if b.company != nil {
		services.InternalListener, services.Peers, services.Departures = internalListener, b.company.asking, b.company
		if b.cfg.KafkaAdvertised == "" { // what each client dialled is right for this node; others tell what it registered
			advertised[internalListener] = b.cfg.Cluster.PeerAddress()
		}
	}
	return services
}

// listen binds an address; the error says what to do about it.
func listen(setting, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s: %s is taken by another process; stop that one or choose another address", setting, address)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: listen on %s: %w", setting, address, err)
	}
	return l, nil
}

// Wait returns when ctx ends (nil) or when the node can no longer do its work (the reason).
func (b *Broker) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-b.fatal:
		return err
	}
}

// fail makes Wait return the error; the first one counts.
func (b *Broker) fail(err error) {
	select {
	case b.fatal <- err:
	default:
	}
}

// oneLine keeps an error readable as one line of a log.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
