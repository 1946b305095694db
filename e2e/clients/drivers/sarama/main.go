// Command sarama drives github.com/IBM/sarama.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-io/millrace/e2e/clients/drivers/scenario"
)

func main() {
	scenario.Main(func(bootstrap string) scenario.Client { return &client{brokers: strings.Split(bootstrap, ",")} })
}

type client struct{ brokers []string }

func config() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V4_1_0_0
	c.Metadata.Retry.Backoff = 100 * time.Millisecond
	return c
}

func (c *client) Produce(_ context.Context, how scenario.Sending, records []scenario.Record) error {
	codecs := map[string]sarama.CompressionCodec{
		"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
	}
	settings := config()
	settings.Producer.RequiredAcks = sarama.RequiredAcks(how.Acks)
	settings.Producer.Compression = codecs[how.Codec]
	settings.Producer.Partitioner = sarama.NewManualPartitioner
	settings.Producer.Return.Successes = true
	settings.Net.MaxOpenRequests = 1
	settings.Producer.Idempotent = how.Idempotent
	producer, err := sarama.NewSyncProducer(c.brokers, settings)
	if err != nil {
		return err
	}
	out := make([]*sarama.ProducerMessage, len(records))
	for i, r := range records {
		out[i] = &sarama.ProducerMessage{Topic: how.Topic, Partition: r.Partition}
		if r.Key != nil {
			out[i].Key = sarama.ByteEncoder(r.Key)
		}
		if r.Value != nil {
			out[i].Value = sarama.ByteEncoder(r.Value)
		}
		if r.TimestampMillis != 0 {
			out[i].Timestamp = time.UnixMilli(r.TimestampMillis)
		}
		for _, h := range r.Headers {
			out[i].Headers = append(out[i].Headers, sarama.RecordHeader{Key: []byte(h.Key), Value: h.Value})
		}
	}
	return errors.Join(producer.SendMessages(out), producer.Close())
}

func convert(m *sarama.ConsumerMessage) scenario.Record {
	r := scenario.Record{Key: m.Key, Value: m.Value, TimestampMillis: m.Timestamp.UnixMilli(), Partition: m.Partition, Offset: m.Offset}
	for _, h := range m.Headers {
		r.Headers = append(r.Headers, scenario.Header{Key: string(h.Key), Value: h.Value})
	}
	return r
}

func (c *client) Read(ctx context.Context, topic string, from scenario.Start, n int, ready func() error) ([]scenario.Record, error) {
	k, err := sarama.NewClient(c.brokers, config())
	if err != nil {
		return nil, err
	}
	defer k.Close()
	at := map[string]int64{"start": sarama.OffsetOldest, "end": sarama.OffsetNewest, "time": from.Millis}[from.At]
	offset, err := k.GetOffset(topic, 0, at)
	if err != nil {
		return nil, err
	}
	consumer, err := sarama.NewConsumerFromClient(k)
	if err != nil {
		return nil, err
	}
	partition, err := consumer.ConsumePartition(topic, 0, offset)
	if err != nil {
		return nil, err
	}
	defer partition.Close()
	if err := ready(); err != nil {
		return nil, err
	}
	var got []scenario.Record
	for len(got) < n {
		select {
		case m := <-partition.Messages():
			got = append(got, convert(m))
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d records: %w", len(got), n, ctx.Err())
		}
	}
	return got, nil
}

// member turns sarama's callbacks into polls: a claim hands its message over and waits until it was taken.
type member struct {
	sarama.ConsumerGroup
	admin    sarama.ClusterAdmin
	group    string
	messages chan taken
	early    *taken // of another session than last
	last     *taken // and not committed
	cancel   context.CancelFunc
	done     chan struct{}
}

type taken struct {
	session sarama.ConsumerGroupSession
	message *sarama.ConsumerMessage
}

func (c *client) Join(_ context.Context, group, topic string) (scenario.Member, error) {
	settings := config()
	settings.Consumer.Offsets.Initial = sarama.OffsetOldest
	settings.Consumer.Offsets.AutoCommit.Enable = false
	settings.Consumer.Group.Heartbeat.Interval = 300 * time.Millisecond
	settings.Consumer.Group.Rebalance.Retry.Backoff = 200 * time.Millisecond
	g, err := sarama.NewConsumerGroup(c.brokers, group, settings)
	if err != nil {
		return nil, err
	}
	a, err := sarama.NewClusterAdmin(c.brokers, settings)
	if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{ConsumerGroup: g, admin: a, group: group, messages: make(chan taken), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			_ = g.Consume(ctx, []string{topic}, m) // an error ends the session; the next round joins again
		}
	}()
	return m, nil
}

func (m *member) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (m *member) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		select {
		case m.messages <- taken{session, message}:
		case <-session.Context().Done():
			return nil
		}
	}
	return nil
}

func (m *member) Poll(ctx context.Context) ([]scenario.Record, error) {
	if m.early != nil && m.last != nil {
		m.last = nil
		return nil, scenario.ErrAgain
	}
	var got []scenario.Record
	wait := time.After(500 * time.Millisecond)
	for len(got) < 100 {
		t, err := m.take(ctx, wait)
		if t == nil || err != nil {
			return got, err
		}
		if m.last != nil && m.last.session != t.session {
			m.early = t
			return got, nil
		}
		m.last = t
		t.session.MarkMessage(t.message, "")
		got = append(got, convert(t.message))
		wait = time.After(5 * time.Millisecond)
	}
	return got, nil
}

// take returns the next message, nil if none comes.
func (m *member) take(ctx context.Context, wait <-chan time.Time) (*taken, error) {
	if t := m.early; t != nil {
		m.early = nil
		return t, nil
	}
	select {
	case t := <-m.messages:
		return &t, nil
	case <-wait:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Commit returns once the coordinator holds the offset. Sarama tells nobody of a commit that a coordinator refused because
// it has moved: it looks for the new one and leaves the rest to the next commit. It also ends a session whose heartbeats
// find nobody four times at once, as when its coordinator's process has just ended.
func (m *member) Commit(ctx context.Context) error {
	for m.last != nil {
		m.last.session.Commit()
		last := m.last.message
		got, err := (&admin{m.admin}).committed(m.group, last.Topic, last.Partition)
		if err == nil && got > last.Offset {
			m.last = nil
			return nil
		}
		select {
		case <-m.last.session.Context().Done():
			m.last = nil
			return scenario.ErrAgain
		case <-ctx.Done():
			return fmt.Errorf("offset %d was not committed, the group is at %d: %w", last.Offset+1, got, errors.Join(err, ctx.Err()))
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// Close leaves the group. Sarama asks the coordinator that it knows, and asks once: where that has moved or is gone, the
// group waits for the end of the member's session instead.
func (m *member) Close() error {
	m.cancel()
	<-m.done
	err := m.ConsumerGroup.Close()
	var network net.Error
	if errors.Is(err, sarama.ErrNotCoordinatorForConsumer) || errors.Is(err, io.EOF) || errors.As(err, &network) {
		err = nil
	}
	return errors.Join(err, m.admin.Close())
}

type admin struct {
	sarama.ClusterAdmin
}

func (c *client) Admin() (scenario.Admin, error) {
	a, err := sarama.NewClusterAdmin(c.brokers, config())
	return &admin{a}, err
}

func (a *admin) CreateTopic(_ context.Context, topic string, partitions int, configs map[string]string) error {
	values := map[string]*string{}
	for key, value := range configs {
		values[key] = &value
	}
	return a.ClusterAdmin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: int32(partitions), ReplicationFactor: 1, ConfigEntries: values}, false)
}

func (a *admin) DeleteTopic(_ context.Context, topic string) error {
	return a.ClusterAdmin.DeleteTopic(topic)
}

func (a *admin) AddPartitions(_ context.Context, topic string, total int) error {
	return a.CreatePartitions(topic, int32(total), nil, false)
}

func (a *admin) Partitions(context.Context) (map[string]int, error) {
	all, err := a.ListTopics()
	counts := map[string]int{}
	for topic, detail := range all {
		counts[topic] = int(detail.NumPartitions)
	}
	return counts, err
}

func (a *admin) Config(_ context.Context, topic, key string) (string, error) {
	entries, err := a.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{key}})
	if err != nil || len(entries) == 0 {
		return "", err
	}
	return entries[0].Value, nil
}

func (a *admin) SetConfig(_ context.Context, topic, key, value string) error {
	return a.IncrementalAlterConfig(sarama.TopicResource, topic, map[string]sarama.IncrementalAlterConfigsEntry{
		key: {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value},
	}, false)
}

func (a *admin) Groups(context.Context) ([]string, error) {
	all, err := a.ListConsumerGroups()
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	return names, err
}

func (a *admin) GroupState(_ context.Context, group string) (string, error) {
	all, err := a.DescribeConsumerGroups([]string{group})
	if err != nil {
		return "", err
	}
	return all[0].State, nil
}

func (a *admin) Committed(_ context.Context, group, topic string) (int64, error) {
	return a.committed(group, topic, 0)
}

func (a *admin) committed(group, topic string, partition int32) (int64, error) {
	answer, err := a.ListConsumerGroupOffsets(group, map[string][]int32{topic: {partition}})
	if err != nil {
		return 0, err
	}
	block := answer.GetBlock(topic, partition)
	if block == nil {
		return 0, errors.New("no offset in the answer")
	}
	return block.Offset, nil
}

func (a *admin) DeleteGroup(_ context.Context, group string) error {
	return a.DeleteConsumerGroup(group)
}

func (a *admin) DeleteRecords(_ context.Context, topic string, before int64) error {
	return a.ClusterAdmin.DeleteRecords(topic, map[int32]int64{0: before})
}
