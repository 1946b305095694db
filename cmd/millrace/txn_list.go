package main

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type listedTransaction struct {
	ID          string `json:"transactional_id"`
	State       string `json:"state"`
	ProducerID  int64  `json:"producer_id"`
	Coordinator int32  `json:"coordinator"`
}

func newTxnListCommand(s *session) *cobra.Command {
	var states []string
	var producers []int64
	var longer time.Duration
	var pattern string
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List transactional ids with the state of their transaction",
		Example: `  millrace txn list
  millrace txn list --state Ongoing --longer 5m
  millrace txn list --pattern 'mover-.*'
  millrace txn list --producer 4711 --format json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			request := kmsg.NewPtrListTransactionsRequest()
			request.StateFilters, request.ProducerIDFilters = states, producers
			whole, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
			if err != nil {
				return usagef("--pattern: %s is no regular expression", pattern)
			}
			if pattern == "" {
				whole = nil
			} else {
				request.TransactionalIDPattern = &pattern
			}
			if longer > 0 {
				request.DurationFilterMillis = longer.Milliseconds()
				if len(states) == 0 {
					request.StateFilters = []string{"Ongoing", "PrepareCommit", "PrepareAbort"} // the others last for no time
				}
			}
			return s.listTransactions(cmd, request, whole)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&states, "state", nil, "only in these states: Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort")
	f.StringVar(&pattern, "pattern", "", "only transactional ids that a regular expression matches as a whole (mover-.*)")
	f.Int64SliceVar(&producers, "producer", nil, "only of these producer ids")
	f.DurationVar(&longer, "longer", 0, "only transactions that have been open for longer than this (5m)")
	return cmd
}

// listTransactions asks every broker for what it coordinates. A broker that does not know patterns lists every id: whole, unless nil,
// is what an id must match.
func (s *session) listTransactions(cmd *cobra.Command, request *kmsg.ListTransactionsRequest, whole *regexp.Regexp) error {
	ctx, cancel, _, err := s.admin(cmd)
	if err != nil {
		return err
	}
	defer cancel()
	list := []listedTransaction{}
	for _, shard := range s.client.RequestSharded(ctx, request) {
		if shard.Err != nil {
			return fmt.Errorf("list transactions of broker %d: %w", shard.Meta.NodeID, shard.Err)
		}
		answer := shard.Resp.(*kmsg.ListTransactionsResponse)
		if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
			return fmt.Errorf("list transactions of broker %d: %w", shard.Meta.NodeID, err)
		}
		if len(answer.UnknownStateFilters) > 0 {
			return usagef("--state: %s is no state of transactions", strings.Join(answer.UnknownStateFilters, ", "))
		}
		for _, t := range answer.TransactionStates {
			if whole != nil && !whole.MatchString(t.TransactionalID) {
				continue
			}
			list = append(list, listedTransaction{t.TransactionalID, t.TransactionState, t.ProducerID, shard.Meta.NodeID})
		}
	}
	slices.SortFunc(list, func(a, b listedTransaction) int { return cmp.Compare(a.ID, b.ID) })
	t := newTable("TRANSACTIONAL-ID", "STATE", "PRODUCER", "COORDINATOR")
	for _, x := range list {
		t.row(x.ID, x.State, x.ProducerID, x.Coordinator)
	}
	return s.print(cmd, list, t)
}

// transactionTrouble says what to do about an id that is not there.
func transactionTrouble(err error) error {
	if errors.Is(err, kerr.TransactionalIDNotFound) {
		return notFoundf("it does not exist\nList transactional ids: millrace txn list")
	}
	return err
}
