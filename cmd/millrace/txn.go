package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func newTxnCommand(s *session) *cobra.Command {
	return noun("txn", "txns", "Look at transactions, abort those that hang",
		`  millrace txn list --state Ongoing
  millrace txn describe mover-1
  millrace txn abort mover-1 --dry-run`,
		newTxnListCommand(s), newTxnDescribeCommand(s), newTxnAbortCommand(s))
}

func (s *session) completeTransactions() completer {
	return s.completeNames(func(ctx context.Context, admin *kadm.Client) ([]string, error) {
		listed, err := admin.ListTransactions(ctx, nil, nil)
		return listed.TransactionalIDs(), err
	})
}

// describedTransaction is a transactional id as describe shows it.
type describedTransaction struct {
	ID            string             `json:"transactional_id"`
	State         string             `json:"state"`
	ProducerID    int64              `json:"producer_id"`
	ProducerEpoch int16              `json:"producer_epoch"`
	TimeoutMs     int32              `json:"timeout_ms"`
	StartMs       *int64             `json:"start_ms"`
	Coordinator   int32              `json:"coordinator"`
	Partitions    map[string][]int32 `json:"partitions"`
}

// oneTransaction describes a transactional id.
func oneTransaction(ctx context.Context, admin *kadm.Client, id string) (describedTransaction, error) {
	described, err := admin.DescribeTransactions(ctx, id)
	if err != nil && len(described) == 0 {
		return describedTransaction{}, fmt.Errorf("describe the transaction: %w", err)
	}
	t, ok := described[id]
	if !ok {
		return describedTransaction{}, fmt.Errorf("no answer: %w", err)
	}
	if t.Err != nil {
		return describedTransaction{}, transactionTrouble(t.Err)
	}
	d := describedTransaction{ID: t.TxnID, State: t.State, ProducerID: t.ProducerID, ProducerEpoch: t.ProducerEpoch,
		TimeoutMs: t.TimeoutMillis, Coordinator: t.Coordinator, Partitions: map[string][]int32{}}
	if t.StartTimestamp >= 0 {
		d.StartMs = &t.StartTimestamp
	}
	for _, topic := range t.Topics.Sorted() {
		d.Partitions[topic.Topic] = topic.Partitions
	}
	return d, nil
}

// age is how long ago a transaction began.
func (d describedTransaction) age(now time.Time) string {
	if d.StartMs == nil {
		return "-"
	}
	return max(now.Sub(time.UnixMilli(*d.StartMs)), 0).Round(time.Second).String()
}
