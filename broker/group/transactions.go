package group

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// EndTransaction writes the marker that ends a transaction on a partition of __consumer_offsets, and returns when it is
// committed: by then the offsets of the transaction count, or are forgotten. Its error is a kerr value, or ctx's.
func (s *Service) EndTransaction(ctx context.Context, partition int32, marker coordinator.Marker) error {
	return s.runtime.EndTransaction(ctx, partition, marker)
}

// TxnOffsetCommit commits offsets in a transaction. Topics must exist and have their names; guard is what the log said
// when the partition was verified, or added, by the coordinator of the transaction.
func (s *Service) TxnOffsetCommit(ctx context.Context, who Caller, r *kmsg.TxnOffsetCommitRequest, guard uint64) *kmsg.TxnOffsetCommitResponse {
	if !isMemberGroupID(r.Group) {
		return TransactionCommitError(r, kerr.InvalidGroupID)
	}
	key := groupKey{who.Tenant, r.Group}
	answer, err := s.ask(ctx, key, transactionCommitRequest{key, r, guard})
	if err != nil {
		return TransactionCommitError(r, err)
	}
	return answer.(*kmsg.TxnOffsetCommitResponse)
}
