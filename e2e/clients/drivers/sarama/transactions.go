package main

import (
	"context"
	"errors"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-io/millrace/e2e/clients/drivers/scenario"
)

type exchange struct {
	member   *member
	producer sarama.SyncProducer
	group    string
	next     int64 // offset after the last record polled: those before it come again when the member's session does
}

func (c *client) Transact(ctx context.Context, id, group, topic string) (scenario.Exchange, error) {
	joined, err := c.Join(ctx, group, topic)
	if err != nil {
		return nil, err
	}
	settings := config()
	settings.Producer.Idempotent = true
	settings.Producer.RequiredAcks = sarama.WaitForAll
	settings.Producer.Return.Successes = true
	settings.Producer.Partitioner = sarama.NewManualPartitioner
	settings.Producer.Transaction.ID = id
	settings.Net.MaxOpenRequests = 1
	producer, err := sarama.NewSyncProducer(c.brokers, settings)
	return &exchange{member: joined.(*member), producer: producer, group: group}, err
}

func (x *exchange) Poll(ctx context.Context, most int) (got []scenario.Record, err error) {
	wait := time.After(500 * time.Millisecond)
	for len(got) < most {
		select {
		case t := <-x.member.messages:
			if t.message.Offset >= x.next {
				x.member.last, x.next = &t, t.message.Offset+1
				got = append(got, convert(t.message))
			}
		case <-wait:
			return got, nil
		case <-ctx.Done():
			return got, ctx.Err()
		}
	}
	return got, nil
}

func (x *exchange) Run(_ context.Context, topic string, records []scenario.Record, commit bool) error {
	if err := x.producer.BeginTxn(); err != nil {
		return err
	}
	out := make([]*sarama.ProducerMessage, len(records))
	for i, r := range records {
		out[i] = &sarama.ProducerMessage{Topic: topic, Value: sarama.ByteEncoder(r.Value)}
	}
	if err := x.producer.SendMessages(out); err != nil {
		return err
	}
	if err := x.producer.AddMessageToTxn(x.member.last.message, x.group, nil); err != nil {
		return err
	}
	if commit {
		return x.producer.CommitTxn()
	}
	return x.producer.AbortTxn()
}

func (x *exchange) Close() error { return errors.Join(x.producer.Close(), x.member.Close()) }
