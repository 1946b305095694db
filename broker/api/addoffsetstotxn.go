package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/txn"
	"github.com/millrace-io/millrace/security"
)

// AddOffsetsToTxn, key 25, versions 0 to 4. Kafka: KafkaApis.handleAddOffsetsToTxnRequest.
//
// The partition of __consumer_offsets that holds the group joins the transaction.
func addOffsetsToTxn(s *Services, c *Call, r *kmsg.AddOffsetsToTxnRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.AddOffsetsToTxnResponse)
	answer.ErrorCode = transactionCode(s.addOffsets(c, r), r.Version >= 2)
	return answer
}

func (s *Services) addOffsets(c *Call, r *kmsg.AddOffsetsToTxnRequest) *kerr.Error {
	if !s.allowedOnTransaction(c, security.OperationWrite, r.TransactionalID) {
		return kerr.TransactionalIDAuthorizationFailed
	}
	if !s.allowedOnGroup(c, security.OperationRead, r.Group) {
		return kerr.GroupAuthorizationFailed
	}
	partition, ok := s.offsetsPartition(c, r.Group)
	if !ok {
		return kerr.CoordinatorNotAvailable
	}
	producer := txn.Producer{ID: r.ProducerID, Epoch: r.ProducerEpoch}
	return s.TransactionCoordinator.AddPartitions(c.Context, c.Identity.Tenant, r.TransactionalID, producer, []txn.Partition{partition}, transactionVersion0, false)
}
