package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/txn"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// transactionVersionFeature is the feature whose level says how transactions work (KIP-890).
const transactionVersionFeature = "transaction.version"

func (b *Broker) newTransactions() *txn.Service {
	return txn.New(txn.Config{
		Log:            &internalLog{replicas: b.replicas, topic: transactionsTopic},
		PartitionCount: b.partitionCount(transactionsTopic), Settings: b.transactionSettings,
		NextProducerID: func(ctx context.Context) (int64, error) { return b.handlers.NextProducerID(ctx) },
		Brokers:        markerBrokers{b},
		Clock:          b.clock, Logger: b.logger, Registerer: b.registry,
	})
}

// applyToTransactions tells the transaction coordinator which partitions it now has.
func (b *Broker) applyToTransactions(delta *image.Delta) {
	b.elect(delta, transactionsTopic, b.transactions)
}

func (b *Broker) transactionSettings() txn.Settings {
	img := b.metadata.Image()
	s := b.settings.Broker(img)
	return txn.Settings{
		MaxTimeoutMillis:        s.Int32("transaction.max.timeout.ms"),
		IDExpirationMillis:      int64(s.Int32("transactional.id.expiration.ms")),
		IDExpirationCheckMillis: int64(s.Int32("transaction.remove.expired.transaction.cleanup.interval.ms")),
		WriteTimeoutMillis:      s.Int32("request.timeout.ms"),
		MaxBatchBytes:           s.Int32("message.max.bytes"),
		CompletionLingerMillis:  txn.DefaultSettings().CompletionLingerMillis,
		Version:                 img.Features()[transactionVersionFeature],
	}
}

// markerBrokers are the brokers of the cluster, as those that markers go to.
type markerBrokers struct{ b *Broker }

// Leader implements txn.Brokers.
func (m markerBrokers) Leader(tenant, topic string, partition int32) (nodeID int32, exists bool) {
	if topic == offsetsTopic {
		tenant = security.DefaultTenant // the one that holds every tenant's groups
	}
	t := m.b.metadata.Image().Topic(tenant, topic)
	if t == nil {
		return 0, false
	}
	p := t.Partition(partition)
	if p == nil {
		return 0, false
	}
	return p.Leader, true
}

// WriteTxnMarkers implements txn.Brokers.
func (m markerBrokers) WriteTxnMarkers(ctx context.Context, nodeID int32, request *kmsg.WriteTxnMarkersRequest) (*kmsg.WriteTxnMarkersResponse, error) {
	return m.b.sendMarkers(ctx, nodeID, request)
}
