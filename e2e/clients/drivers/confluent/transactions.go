package main

import (
	"context"
	"errors"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/millrace-io/millrace/e2e/clients/drivers/scenario"
)

type exchange struct {
	consumer *kafka.Consumer
	producer *kafka.Producer
}

func (c *client) Transact(ctx context.Context, id, group, topic string) (scenario.Exchange, error) {
	k, err := c.consumer(group) // reads what is committed, by default
	if err != nil {
		return nil, err
	}
	p, err := kafka.NewProducer(&kafka.ConfigMap{"bootstrap.servers": c.bootstrap, "transactional.id": id, "linger.ms": 5})
	if err != nil {
		return nil, err
	}
	return &exchange{consumer: k, producer: p}, errors.Join(k.Subscribe(topic, nil), p.InitTransactions(ctx))
}

func (x *exchange) Poll(_ context.Context, most int) (got []scenario.Record, err error) {
	for wait := 500 * time.Millisecond; len(got) < most; wait = 5 * time.Millisecond {
		message, err := x.consumer.ReadMessage(wait)
		if isTimeout(err) {
			break
		} else if err != nil {
			return got, err
		}
		got = append(got, convert(message))
	}
	return got, nil
}

func (x *exchange) Run(ctx context.Context, topic string, records []scenario.Record, commit bool) error {
	if err := x.producer.BeginTransaction(); err != nil {
		return err
	}
	for _, r := range records {
		m := &kafka.Message{TopicPartition: kafka.TopicPartition{Topic: &topic, Partition: 0}, Value: r.Value}
		if err := x.producer.Produce(m, nil); err != nil {
			return err
		}
	}
	assigned, err := x.consumer.Assignment()
	if err != nil {
		return err
	}
	positions, err := x.consumer.Position(assigned)
	if err != nil {
		return err
	}
	metadata, err := x.consumer.GetConsumerGroupMetadata()
	if err != nil {
		return err
	}
	if err := x.producer.SendOffsetsToTransaction(ctx, positions, metadata); err != nil {
		return err
	}
	if commit {
		return x.producer.CommitTransaction(ctx)
	}
	x.producer.Flush(10000) // an abort drops what waits to be sent
	return x.producer.AbortTransaction(ctx)
}

func (x *exchange) Close() error {
	x.producer.Close()
	return leave(x.consumer)
}
