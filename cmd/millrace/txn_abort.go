package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// abortRetryPause is how long an abort waits before it asks again whether it is complete.
const abortRetryPause = 50 * time.Millisecond

func newTxnAbortCommand(s *session) *cobra.Command {
	var topic string
	var partition int32
	var offset int64
	var yes, dryRun bool
	cmd := &cobra.Command{
		Use:   "abort TRANSACTIONAL-ID | --topic TOPIC --partition N --start-offset OFFSET",
		Short: "Abort a transaction and shut its producer out, or one that hangs on a partition",
		Long: `Abort an open transaction by its transactional id: its coordinator aborts it everywhere, and the producer that has the id is
fenced, as by another instance of the application that starts.

A transaction that hangs on a partition, and that no coordinator knows of, is named by topic, partition and the offset at which
it begins there: an abort marker is written to that partition alone. Consumers that read committed records go on behind it.`,
		Example: `  millrace txn abort mover-1
  millrace txn abort --topic orders --partition 3 --start-offset 4711 --dry-run`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeFirst(s.completeTransactions()),
		RunE: func(cmd *cobra.Command, args []string) error {
			named := cmd.Flags().Changed("topic") || cmd.Flags().Changed("partition") || cmd.Flags().Changed("start-offset")
			switch {
			case len(args) == 1 && !named:
				return s.abortTransaction(cmd, args[0], yes, dryRun)
			case len(args) == 0 && topic != "" && partition >= 0 && offset >= 0:
				return s.abortOnPartition(cmd, topic, partition, offset, yes, dryRun)
			}
			return usagef("name either a transactional id, or --topic, --partition and --start-offset of a transaction that hangs")
		},
	}
	f := cmd.Flags()
	f.StringVar(&topic, "topic", "", "topic on which the transaction hangs")
	f.Int32Var(&partition, "partition", -1, "its partition")
	f.Int64Var(&offset, "start-offset", -1, "offset of the transaction's first record there")
	f.BoolVarP(&yes, "yes", "y", false, "do not ask")
	f.BoolVar(&dryRun, "dry-run", false, "show what would be aborted, abort nothing")
	return cmd
}

// abortTransaction takes the transactional id over, which makes its coordinator abort what is open.
func (s *session) abortTransaction(cmd *cobra.Command, id string, yes, dryRun bool) error {
	ctx, cancel, admin, err := s.admin(cmd)
	if err != nil {
		return err
	}
	defer cancel()
	d, err := oneTransaction(ctx, admin, id)
	if err != nil {
		return fmt.Errorf("transactional id %s: %w", id, err)
	}
	var done outcomes
	switch {
	case d.State != "Ongoing":
		done.add("transactional id", id, "", fmt.Errorf("it has no open transaction, it is %s", d.State))
	case dryRun:
		done.add("transactional id", id, "would be aborted", nil)
	default:
		if err := confirm(cmd, yes, fmt.Sprintf("Abort the transaction of %s, %s old, and fence its producer?", id, d.age(time.Now()))); err != nil {
			return err
		}
		ctx, cancel := s.deadline(cmd)
		defer cancel()
		done.add("transactional id", id, "aborted", s.fence(ctx, d))
	}
	return done.print(s, cmd, "TRANSACTIONAL-ID")
}

// fence begins the life of another producer with the id, and waits until the transaction before is over.
func (s *session) fence(ctx context.Context, d describedTransaction) error {
	request := kmsg.NewPtrInitProducerIDRequest()
	request.TransactionalID, request.TransactionTimeoutMillis = &d.ID, d.TimeoutMs
	request.ProducerID, request.ProducerEpoch = -1, -1
	for {
		answer, err := request.RequestWith(ctx, s.client)
		if err != nil {
			return fmt.Errorf("abort the transaction: %w", err)
		}
		err = kerr.ErrorForCode(answer.ErrorCode)
		if !errors.Is(err, kerr.ConcurrentTransactions) {
			return err
		}
		select {
		case <-time.After(abortRetryPause):
		case <-ctx.Done():
			return fmt.Errorf("the abort is decided, but not complete yet: %w", ctx.Err())
		}
	}
}

// abortOnPartition writes an abort marker for the producer whose transaction begins at the offset (KIP-664).
func (s *session) abortOnPartition(cmd *cobra.Command, topic string, partition int32, offset int64, yes, dryRun bool) error {
	ctx, cancel, admin, err := s.admin(cmd)
	if err != nil {
		return err
	}
	defer cancel()
	producer, err := hangingProducer(ctx, admin, topic, partition, offset)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s-%d@%d", topic, partition, offset)
	var done outcomes
	if dryRun {
		done.add("transaction", name, fmt.Sprintf("of producer %d would be aborted", producer.ProducerID), nil)
		return done.print(s, cmd, "TRANSACTION")
	}
	question := fmt.Sprintf("Abort the transaction of producer %d on topic %s partition %d?", producer.ProducerID, topic, partition)
	if err := confirm(cmd, yes, question); err != nil {
		return err
	}
	ctx, cancel = s.deadline(cmd)
	defer cancel()
	marker := kadm.TxnMarkers{ProducerID: producer.ProducerID, ProducerEpoch: producer.ProducerEpoch, CoordinatorEpoch: max(producer.CoordinatorEpoch, 0), Topics: kadm.TopicsSet{}}
	marker.Topics.Add(topic, partition)
	answers, err := admin.WriteTxnMarkers(ctx, marker)
	if err != nil {
		return fmt.Errorf("write the marker: %w", err)
	}
	done.add("transaction", name, "aborted", answers[producer.ProducerID].Topics[topic].Partitions[partition].Err)
	return done.print(s, cmd, "TRANSACTION")
}

// hangingProducer finds who has a transaction that begins at the offset.
func hangingProducer(ctx context.Context, admin *kadm.Client, topic string, partition int32, offset int64) (kadm.DescribedProducer, error) {
	set := kadm.TopicsSet{}
	set.Add(topic, partition)
	described, err := admin.DescribeProducers(ctx, set)
	if err != nil {
		return kadm.DescribedProducer{}, fmt.Errorf("describe producers: %w", err)
	}
	p := described[topic].Partitions[partition]
	if errors.Is(p.Err, kerr.UnknownTopicOrPartition) {
		return kadm.DescribedProducer{}, notFoundf("topic %s has no partition %d\nList topics: millrace topic list", quote(topic), partition)
	}
	if p.Err != nil {
		return kadm.DescribedProducer{}, fmt.Errorf("describe producers: %w", p.Err)
	}
	for _, producer := range p.ActiveProducers {
		if producer.CurrentTxnStartOffset == offset {
			return producer, nil
		}
	}
	return kadm.DescribedProducer{}, notFoundf("no open transaction begins at offset %d of topic %s partition %d", offset, quote(topic), partition)
}
