package api

import (
	"regexp"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/txn"
	"github.com/millrace-io/millrace/security"
)

// ListTransactions, key 66, versions 0 to 2 (KIP-664, KIP-994, KIP-1152). Kafka: KafkaApis.handleListTransactionsRequest.
//
// Each broker lists what it coordinates. The pattern of version 2 is a regular expression for the whole id; one that cannot be
// read is INVALID_REGULAR_EXPRESSION.
func listTransactions(s *Services, c *Call, r *kmsg.ListTransactionsRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.ListTransactionsResponse)
	filter := txn.Filter{ProducerIDs: r.ProducerIDFilters, DurationMillis: r.DurationFilterMillis, States: r.StateFilters}
	if r.Version < 1 {
		filter.DurationMillis = -1
	}
	known := txn.Statuses()
	for _, name := range r.StateFilters {
		if !slices.Contains(known, name) {
			answer.UnknownStateFilters = append(answer.UnknownStateFilters, name)
		}
	}
	var fault *kerr.Error
	if filter.Matches, fault = matcher(r.TransactionalIDPattern); fault != nil {
		answer.ErrorCode = fault.Code
		return answer
	}
	all, err := s.TransactionCoordinator.List(c.Context, c.Identity.Tenant, filter)
	answer.ErrorCode = transactionCode(err, true)
	for _, d := range all {
		if s.allowedOnTransaction(c, security.OperationDescribe, d.TransactionalID) {
			answer.TransactionStates = append(answer.TransactionStates, kmsg.ListTransactionsResponseTransactionState{
				TransactionalID: d.TransactionalID, ProducerID: d.Producer.ID, TransactionState: d.Status,
			})
		}
	}
	return answer
}

// matcher makes the pattern of a request; null and "" match everything.
func matcher(pattern *string) (func(string) bool, *kerr.Error) {
	if pattern == nil || *pattern == "" {
		return nil, nil
	}
	whole, err := regexp.Compile(`\A(?:` + *pattern + `)\z`)
	if err != nil {
		return nil, kerr.InvalidRegularExpression
	}
	return whole.MatchString, nil
}
