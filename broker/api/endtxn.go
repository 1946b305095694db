package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/txn"
	"github.com/millrace-io/millrace/security"
)

// EndTxn, key 26, versions 0 to 5. Kafka: KafkaApis.handleEndTxnRequest, TransactionCoordinator.endTransaction.
//
// From version 5 on the producer speaks version 2 of transactions: each end raises its epoch, and a retry is known by that.
// The answer comes when the decision is committed; the markers follow.
//
// Deviation: a retry that comes before the markers are written waits for them up to 100 ms; Kafka answers
// CONCURRENT_TRANSACTIONS at once.
func endTxn(s *Services, c *Call, r *kmsg.EndTxnRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.EndTxnResponse)
	answer.ProducerID, answer.ProducerEpoch = -1, -1
	if !s.allowedOnTransaction(c, security.OperationWrite, r.TransactionalID) {
		answer.ErrorCode = kerr.TransactionalIDAuthorizationFailed.Code
		return answer
	}
	version := int16(transactionVersion0)
	if r.Version >= 5 {
		version = transactionVersion2
	}
	next, err := s.TransactionCoordinator.EndTxn(c.Context, c.Identity.Tenant, r.TransactionalID, txn.Producer{ID: r.ProducerID, Epoch: r.ProducerEpoch}, r.Commit, version)
	answer.ProducerID, answer.ProducerEpoch = next.ID, next.Epoch
	answer.ErrorCode = transactionCode(err, r.Version >= 2)
	return answer
}
