package broker

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/peer"
	"github.com/millrace-io/millrace/broker/verify"
	"github.com/millrace-io/millrace/security"
)

// transactionsTopic is the internal topic that holds the state of transactions.
const transactionsTopic = "__transaction_state"

// verificationTimeout bounds a question to a transaction coordinator: a producer tries again sooner than it gives up.
const verificationTimeout = 10 * time.Second

// newVerifier makes what partitions ask transaction coordinators with.
func (b *Broker) newVerifier() *verify.Verifier {
	settings := func(name string) func() time.Duration {
		return func() time.Duration {
			return time.Duration(b.settings.Broker(b.metadata.Image()).Int32(name)) * time.Millisecond
		}
	}
	return verify.New(verify.Config{
		NodeID: b.cfg.NodeID, Coordinator: b.transactionCoordinator, Send: b.askTransactionCoordinator, Timeout: verificationTimeout,
		Patience: settings("add.partitions.to.txn.retry.backoff.max.ms"), Pause: settings("add.partitions.to.txn.retry.backoff.ms"),
		Enabled: func() bool {
			return b.settings.Broker(b.metadata.Image()).Bool("transaction.partition.verification.enable")
		},
		Logger: b.logger,
	})
}

// transactionCoordinator finds the node that leads the partition of a transactional id, which is qualified by its tenant.
func (b *Broker) transactionCoordinator(transactionalID string) (nodeID int32, ok bool) {
	topic := b.metadata.Image().Topic(security.DefaultTenant, transactionsTopic)
	if topic == nil {
		return 0, false
	}
	p := topic.Partition(coordinator.PartitionFor(transactionalID, int32(topic.PartitionCount())))
	if p == nil || p.Leader < 0 {
		return 0, false
	}
	return p.Leader, true
}

// askTransactionCoordinator carries a question to a node; this one answers itself.
func (b *Broker) askTransactionCoordinator(ctx context.Context, nodeID int32, request *kmsg.AddPartitionsToTxnRequest) (*kmsg.AddPartitionsToTxnResponse, error) {
	response, err := b.askNode(ctx, nodeID, request, func(c *company) *peer.Pool { return c.verifying })
	if err != nil {
		return nil, err
	}
	return response.(*kmsg.AddPartitionsToTxnResponse), nil
}

// sendMarkers carries the markers of a transaction coordinator to a node; this one writes its own itself.
func (b *Broker) sendMarkers(ctx context.Context, nodeID int32, request *kmsg.WriteTxnMarkersRequest) (*kmsg.WriteTxnMarkersResponse, error) {
	response, err := b.askNode(ctx, nodeID, request, func(c *company) *peer.Pool { return c.marking })
	if err != nil {
		return nil, err
	}
	return response.(*kmsg.WriteTxnMarkersResponse), nil
}

// askNode asks a node over connections of a purpose's own: the answers take their time, and nothing else is to wait
// behind them.
func (b *Broker) askNode(ctx context.Context, nodeID int32, request kmsg.Request, pool func(*company) *peer.Pool) (kmsg.Response, error) {
	if nodeID == b.cfg.NodeID {
		response := b.handlers.AskSelf(ctx, request)
		if response == nil {
			return nil, errors.New("this broker does not answer its own " + kmsg.NameForKey(request.Key()))
		}
		return response, nil
	}
	if b.company == nil {
		return nil, peer.ErrUnknownNode
	}
	return pool(b.company).Do(ctx, nodeID, request)
}
