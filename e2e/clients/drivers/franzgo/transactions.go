package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-io/millrace/e2e/clients/drivers/scenario"
)

type exchange struct{ *kgo.GroupTransactSession }

func (c *client) Transact(_ context.Context, id, group, topic string) (scenario.Exchange, error) {
	k, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(c.seeds()...), kgo.MetadataMinAge(250*time.Millisecond), kgo.TransactionalID(id), kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.RequireStableFetchOffsets(), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.SessionTimeout(10*time.Second), kgo.HeartbeatInterval(300*time.Millisecond), kgo.FetchMaxWait(250*time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.AllowAutoTopicCreation())
	return &exchange{k}, err
}

func (x *exchange) Poll(ctx context.Context, most int) ([]scenario.Record, error) {
	soon, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	fetches := x.PollRecords(soon, most)
	if err := fetches.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	return convert(fetches.Records()), nil
}

func (x *exchange) Run(ctx context.Context, topic string, records []scenario.Record, commit bool) error {
	if err := x.Begin(); err != nil {
		return err
	}
	out := make([]*kgo.Record, len(records))
	for i, r := range records {
		out[i] = &kgo.Record{Topic: topic, Value: r.Value}
	}
	if err := x.ProduceSync(ctx, out...).FirstErr(); err != nil {
		return err
	}
	committed, err := x.End(ctx, kgo.TransactionEndTry(commit))
	if err == nil && committed != commit {
		err = fmt.Errorf("committed: %v", committed)
	}
	return err
}

func (x *exchange) Close() error {
	x.GroupTransactSession.Close()
	return nil
}
