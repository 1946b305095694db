package api

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/broker/server"
	"github.com/millrace-io/millrace/broker/share"
	"github.com/millrace-io/millrace/broker/share/state"
	"github.com/millrace-io/millrace/broker/txn"
	"github.com/millrace-io/millrace/broker/verify"
	"github.com/millrace-io/millrace/metadata"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/security"
)

// Services is what handlers work with. Fixed after New.
type Services struct {
	NodeID   int32
	Metadata *metadata.Node
	Replicas *replica.Manager
	// MissingLogDirs are the paths of log directories that could not be opened at the start: DescribeLogDirs tells of them.
	MissingLogDirs []string
	Groups         *group.Service
	// Shares serves share groups where partitions are led, ShareStates is the share coordinator.
	Shares      *share.Manager
	ShareStates *state.Service
	ShareClient *state.Client // asks share coordinators, on this broker and others
	// TransactionCoordinator is that of the transactional ids that this broker has.
	TransactionCoordinator *txn.Service
	Settings               *config.Resolver // effective topic and broker settings
	Clock                  func() time.Time
	Logger                 *slog.Logger

	Registerer prometheus.Registerer // optional
	// MemoryBudget bounds what large decoded requests may take together. It is not that of the listeners: a request that waits here
	// holds its frame there. Nil: 400 MiB.
	MemoryBudget *server.Budget
	// MaxFetchSessions is max.incremental.fetch.session.cache.slots; 0: Kafka's default of 1000.
	MaxFetchSessions int
	// MaxFetchBytes is fetch.max.bytes; 0: Kafka's default of 55 MiB.
	MaxFetchBytes int

	// InternalListener is the name of the listener between brokers; "": there is none.
	InternalListener string
	// Peers asks other brokers of the cluster; nil: this node is alone, and nothing is forwarded.
	Peers Peers

	// Transactions asks the coordinators of transactions whether partitions belong to them; nil: transactional records are
	// refused.
	Transactions *verify.Verifier

	// LogLevel is the level of the root logger, which is shown and changed as a BROKER_LOGGER resource; nil: there is none.
	LogLevel *slog.LevelVar
	// Advertised is the host:port told to clients, by listener name; without an entry it is what each client dialled.
	Advertised map[string]string

	// Permits decides who may do what on which resource, "" being any of its type; nil: security.Allowed.
	Permits func(who security.Identity, operation security.Operation, resource security.ResourceType, name string) bool

	// Departures holds back answers of who leads while it is asked whether the leaders are there, and decided that one is gone.
	// It is false when they have to be looked up again. Nil: alone.
	Departures interface {
		Confirm(ctx context.Context, leaders []int32) bool
	}

	rows      []Row // the table, for ApiVersions
	topics    topicCreator
	producers producerIDs
}

// Peers sends Kafka requests to other brokers.
type Peers interface {
	// Do asks a broker. An error that wraps peer.ErrOutcomeUnknown, or that came with the end of ctx, leaves open whether the
	// request was carried out; after any other it was not sent.
	Do(ctx context.Context, nodeID int32, request kmsg.Request) (kmsg.Response, error)
}

// Call is one request on its way through a handler.
type Call struct {
	*server.Peer
	Version  int16
	ClientID string
	// ForController says that the request is to be answered as the controller: it came in an Envelope, or this node, which
	// leads the quorum, has done the part of a broker already.
	ForController bool
}
