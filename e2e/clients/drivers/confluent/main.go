// Command confluent drives github.com/confluentinc/confluent-kafka-go, which is librdkafka (cgo).
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/millrace-io/millrace/e2e/clients/drivers/scenario"
)

func main() {
	scenario.Main(func(bootstrap string) scenario.Client { return &client{bootstrap: bootstrap} })
}

type client struct{ bootstrap string }

func (c *client) Produce(ctx context.Context, how scenario.Sending, records []scenario.Record) error {
	p, err := kafka.NewProducer(&kafka.ConfigMap{
		"bootstrap.servers": c.bootstrap, "acks": how.Acks, "compression.type": how.Codec, "enable.idempotence": how.Idempotent, "max.in.flight": 1, "linger.ms": 5,
	})
	if err != nil {
		return err
	}
	defer p.Close()
	delivered := make(chan kafka.Event, len(records))
	for _, r := range records {
		m := &kafka.Message{TopicPartition: kafka.TopicPartition{Topic: &how.Topic, Partition: r.Partition}, Key: r.Key, Value: r.Value}
		if r.TimestampMillis != 0 {
			m.Timestamp = time.UnixMilli(r.TimestampMillis)
		}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, kafka.Header{Key: h.Key, Value: h.Value})
		}
		if err := p.Produce(m, delivered); err != nil {
			return err
		}
	}
	for range records {
		select {
		case event := <-delivered:
			if m, ok := event.(*kafka.Message); ok && m.TopicPartition.Error != nil {
				return m.TopicPartition.Error
			}
		case <-ctx.Done():
			return fmt.Errorf("await delivery: %w", ctx.Err())
		}
	}
	return nil
}

func convert(m *kafka.Message) scenario.Record {
	r := scenario.Record{Key: m.Key, Value: m.Value, TimestampMillis: m.Timestamp.UnixMilli(), Partition: m.TopicPartition.Partition, Offset: int64(m.TopicPartition.Offset)}
	for _, h := range m.Headers {
		r.Headers = append(r.Headers, scenario.Header{Key: h.Key, Value: h.Value})
	}
	return r
}

func (c *client) consumer(group string) (*kafka.Consumer, error) {
	return kafka.NewConsumer(&kafka.ConfigMap{
		"bootstrap.servers": c.bootstrap, "group.id": group, "enable.auto.commit": false, "auto.offset.reset": "earliest",
		"session.timeout.ms": 10000, "heartbeat.interval.ms": 300, "fetch.wait.max.ms": 100,
	})
}

func (c *client) Read(ctx context.Context, topic string, from scenario.Start, n int, ready func() error) ([]scenario.Record, error) {
	k, err := c.consumer("unused")
	if err != nil {
		return nil, err
	}
	defer k.Close()
	at := kafka.TopicPartition{Topic: &topic, Offset: kafka.OffsetBeginning}
	switch from.At {
	case "end":
		_, end, err := k.QueryWatermarkOffsets(topic, 0, 10000)
		if err != nil {
			return nil, err
		}
		at.Offset = kafka.Offset(end)
	case "time":
		found, err := k.OffsetsForTimes([]kafka.TopicPartition{{Topic: &topic, Offset: kafka.Offset(from.Millis)}}, 10000)
		if err != nil {
			return nil, err
		}
		at.Offset = found[0].Offset
	}
	if err := k.Assign([]kafka.TopicPartition{at}); err != nil {
		return nil, err
	}
	if err := ready(); err != nil {
		return nil, err
	}
	var got []scenario.Record
	for len(got) < n {
		m, err := k.ReadMessage(time.Second)
		if err == nil {
			got = append(got, convert(m))
		} else if !isTimeout(err) || ctx.Err() != nil {
			return nil, fmt.Errorf("%d of %d records: %w", len(got), n, err)
		}
	}
	return got, nil
}

// isTimeout reports that there is nothing yet: the wait is over, or the library tells in passing that it lost a broker, which
// it looks for again by itself.
func isTimeout(err error) bool {
	var k kafka.Error
	return errors.As(err, &k) && (k.IsTimeout() || k.Code() == kafka.ErrTransport || k.Code() == kafka.ErrAllBrokersDown)
}

type member struct{ *kafka.Consumer }

func (c *client) Join(_ context.Context, group, topic string) (scenario.Member, error) {
	k, err := c.consumer(group)
	if err != nil {
		return nil, err
	}
	return &member{k}, k.Subscribe(topic, nil)
}

func (m *member) Poll(context.Context) ([]scenario.Record, error) {
	var got []scenario.Record
	wait := 500 * time.Millisecond
	for len(got) < 100 {
		message, err := m.ReadMessage(wait)
		if isTimeout(err) {
			break
		} else if err != nil {
			return got, err
		}
		got = append(got, convert(message))
		wait = 5 * time.Millisecond
	}
	return got, nil
}

func (m *member) Commit(context.Context) error {
	_, err := m.Consumer.Commit()
	return err
}

func (m *member) Close() error { return leave(m.Consumer) }

// leave closes a consumer when there is a coordinator that can be told: the library tells nobody while it looks for one
// (rd_kafka_cgrp_leave, rd_kafka_cgrp_consumer_leave), and the group would wait for the member's session to end, with any broker.
func leave(k *kafka.Consumer) error {
	if assigned, err := k.Assignment(); err == nil && len(assigned) > 0 {
		_, _ = k.Committed(assigned, 20000) // asks the coordinator
	}
	return k.Close()
}

type admin struct{ *kafka.AdminClient }

func (c *client) Admin() (scenario.Admin, error) {
	a, err := kafka.NewAdminClient(&kafka.ConfigMap{"bootstrap.servers": c.bootstrap})
	return &admin{a}, err
}

func failure(err error, answer kafka.Error) error {
	if err != nil {
		return err
	}
	if answer.Code() != kafka.ErrNoError {
		return answer
	}
	return nil
}

func (a *admin) CreateTopic(ctx context.Context, topic string, partitions int, configs map[string]string) error {
	answers, err := a.CreateTopics(ctx, []kafka.TopicSpecification{{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1, Config: configs}})
	if err != nil {
		return err
	}
	return failure(nil, answers[0].Error)
}

func (a *admin) DeleteTopic(ctx context.Context, topic string) error {
	answers, err := a.DeleteTopics(ctx, []string{topic})
	if err != nil {
		return err
	}
	return failure(nil, answers[0].Error)
}

func (a *admin) AddPartitions(ctx context.Context, topic string, total int) error {
	answers, err := a.CreatePartitions(ctx, []kafka.PartitionsSpecification{{Topic: topic, IncreaseTo: total}})
	if err != nil {
		return err
	}
	return failure(nil, answers[0].Error)
}

func (a *admin) Partitions(context.Context) (map[string]int, error) {
	all, err := a.GetMetadata(nil, true, 10000)
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for name, topic := range all.Topics {
		counts[name] = len(topic.Partitions)
	}
	return counts, nil
}

func (a *admin) Config(ctx context.Context, topic, key string) (string, error) {
	answers, err := a.DescribeConfigs(ctx, []kafka.ConfigResource{{Type: kafka.ResourceTopic, Name: topic}})
	if err != nil {
		return "", err
	}
	return answers[0].Config[key].Value, failure(nil, answers[0].Error)
}

func (a *admin) SetConfig(ctx context.Context, topic, key, value string) error {
	answers, err := a.IncrementalAlterConfigs(ctx, []kafka.ConfigResource{{
		Type: kafka.ResourceTopic, Name: topic,
		Config: []kafka.ConfigEntry{{Name: key, Value: value, IncrementalOperation: kafka.AlterConfigOpTypeSet}},
	}})
	if err != nil {
		return err
	}
	return failure(nil, answers[0].Error)
}

func (a *admin) Groups(ctx context.Context) ([]string, error) {
	all, err := a.ListConsumerGroups(ctx)
	names := make([]string, 0, len(all.Valid))
	for _, g := range all.Valid {
		names = append(names, g.GroupID)
	}
	return names, errors.Join(append(all.Errors, err)...)
}

func (a *admin) GroupState(ctx context.Context, group string) (string, error) {
	all, err := a.DescribeConsumerGroups(ctx, []string{group})
	if err != nil {
		return "", err
	}
	one := all.ConsumerGroupDescriptions[0]
	return one.State.String(), failure(nil, one.Error)
}

func (a *admin) Committed(ctx context.Context, group, topic string) (int64, error) {
	all, err := a.ListConsumerGroupOffsets(ctx, []kafka.ConsumerGroupTopicPartitions{{Group: group, Partitions: []kafka.TopicPartition{{Topic: &topic}}}})
	if err != nil {
		return 0, err
	}
	one := all.ConsumerGroupsTopicPartitions[0].Partitions[0]
	return int64(one.Offset), one.Error
}

func (a *admin) DeleteGroup(ctx context.Context, group string) error {
	all, err := a.DeleteConsumerGroups(ctx, []string{group})
	if err != nil {
		return err
	}
	return failure(nil, all.ConsumerGroupResults[0].Error)
}

func (a *admin) DeleteRecords(ctx context.Context, topic string, before int64) error {
	all, err := a.AdminClient.DeleteRecords(ctx, []kafka.TopicPartition{{Topic: &topic, Offset: kafka.Offset(before)}})
	if err != nil {
		return err
	}
	return all.DeleteRecordsResults[0].TopicPartition.Error
}
