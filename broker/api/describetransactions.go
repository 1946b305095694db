package api

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/security"
)

// DescribeTransactions, key 65, version 0 (KIP-664). Kafka: KafkaApis.handleDescribeTransactionsRequest.
//
// Only partitions of topics that the caller may describe are shown. Deviation: until a transaction is complete all its
// partitions are shown, also those that have their marker.
func describeTransactions(s *Services, c *Call, r *kmsg.DescribeTransactionsRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.DescribeTransactionsResponse)
	for _, id := range r.TransactionalIDs {
		t := kmsg.NewDescribeTransactionsResponseTransactionState()
		t.TransactionalID = id
		if s.allowedOnTransaction(c, security.OperationDescribe, id) {
			s.describeTransaction(c, &t)
		} else {
			t.ErrorCode = kerr.TransactionalIDAuthorizationFailed.Code
		}
		answer.TransactionStates = append(answer.TransactionStates, t)
	}
	return answer
}

func (s *Services) describeTransaction(c *Call, t *kmsg.DescribeTransactionsResponseTransactionState) {
	d, err := s.TransactionCoordinator.Describe(c.Context, c.Identity.Tenant, t.TransactionalID)
	if err != nil {
		t.ErrorCode = err.Code
		return
	}
	t.State, t.TimeoutMillis, t.StartTimestamp = d.Status, d.TimeoutMillis, d.StartMillis
	t.ProducerID, t.ProducerEpoch = d.Producer.ID, d.Producer.Epoch
	for _, name := range slices.Sorted(maps.Keys(d.Partitions)) {
		if s.Allowed(c, security.OperationDescribe, security.ResourceTopic, name) {
			t.Topics = append(t.Topics, kmsg.DescribeTransactionsResponseTransactionStateTopic{Topic: name, Partitions: d.Partitions[name]})
		}
	}
}
