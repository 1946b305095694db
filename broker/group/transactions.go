package group

import (
	"context"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// EndTransaction writes the marker that ends a transaction on a partition of __consumer_offsets, and returns when it is
// committed: by then the offsets of the transaction count, or are forgotten. Its error is a kerr value, or ctx's.
func (s *Service) EndTransaction(ctx context.Context, partition int32, marker coordinator.Marker) error {
	return s.runtime.EndTransaction(ctx, partition, marker)
}
