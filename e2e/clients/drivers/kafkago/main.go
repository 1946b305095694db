// Command kafkago drives github.com/segmentio/kafka-go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/millrace-io/millrace/e2e/clients/drivers/scenario"
)

func main() {
	scenario.Main(func(bootstrap string) scenario.Client { return &client{bootstrap: bootstrap} })
}

type client struct{ bootstrap string }

// ReadsEmptyAsNull is a limit of kafka-go's reader.
func (c *client) ReadsEmptyAsNull() bool { return true }

// Produce uses a writer; kafka-go has no idempotent producer.
func (c *client) Produce(ctx context.Context, how scenario.Sending, records []scenario.Record) error {
	if how.Idempotent {
		return scenario.ErrLacks
	}
	codecs := map[string]kafka.Compression{"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd}
	w := &kafka.Writer{
		Addr: kafka.TCP(strings.Split(c.bootstrap, ",")...), Topic: how.Topic, RequiredAcks: kafka.RequiredAcks(how.Acks), Compression: codecs[how.Codec],
		BatchTimeout: 5 * time.Millisecond, BatchBytes: 2 << 20, Balancer: kafka.BalancerFunc(byWriterData),
	}
	out := make([]kafka.Message, len(records))
	for i, r := range records {
		out[i] = kafka.Message{Key: r.Key, Value: r.Value, WriterData: int(r.Partition)}
		if r.TimestampMillis != 0 {
			out[i].Time = time.UnixMilli(r.TimestampMillis)
		}
		for _, h := range r.Headers {
			out[i].Headers = append(out[i].Headers, kafka.Header{Key: h.Key, Value: h.Value})
		}
	}
	return errors.Join(w.WriteMessages(ctx, out...), w.Close())
}

func byWriterData(m kafka.Message, _ ...int) int { return m.WriterData.(int) }

func convert(m kafka.Message) scenario.Record {
	r := scenario.Record{Key: m.Key, Value: m.Value, TimestampMillis: m.Time.UnixMilli(), Partition: int32(m.Partition), Offset: m.Offset}
	for _, h := range m.Headers {
		r.Headers = append(r.Headers, scenario.Header{Key: h.Key, Value: h.Value})
	}
	return r
}

func (c *client) Read(ctx context.Context, topic string, from scenario.Start, n int, ready func() error) ([]scenario.Record, error) {
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: strings.Split(c.bootstrap, ","), Topic: topic, MinBytes: 1, MaxBytes: 4 << 20, MaxWait: 200 * time.Millisecond})
	defer r.Close()
	var err error
	switch from.At {
	case "start":
		err = r.SetOffset(kafka.FirstOffset)
	case "end":
		var offset int64
		if offset, err = c.endOffset(ctx, topic); err == nil {
			err = r.SetOffset(offset)
		}
	case "time":
		err = r.SetOffsetAt(ctx, time.UnixMilli(from.Millis))
	}
	if err != nil {
		return nil, err
	}
	if err := ready(); err != nil {
		return nil, err
	}
	var got []scenario.Record
	for len(got) < n {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			return nil, fmt.Errorf("%d of %d records: %w", len(got), n, err)
		}
		got = append(got, convert(m))
	}
	return got, nil
}

func (c *client) endOffset(ctx context.Context, topic string) (int64, error) {
	conn, err := kafka.DialLeader(ctx, "tcp", strings.Split(c.bootstrap, ",")[0], topic, 0)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return conn.ReadLastOffset()
}

type member struct {
	*kafka.Reader
	polled []kafka.Message
}

func (c *client) Join(_ context.Context, group, topic string) (scenario.Member, error) {
	return &member{Reader: kafka.NewReader(kafka.ReaderConfig{
		Brokers: strings.Split(c.bootstrap, ","), GroupID: group, Topic: topic, StartOffset: kafka.FirstOffset, MinBytes: 1, MaxBytes: 4 << 20, MaxWait: 200 * time.Millisecond,
		SessionTimeout: 10 * time.Second, HeartbeatInterval: 300 * time.Millisecond, JoinGroupBackoff: 200 * time.Millisecond,
	})}, nil
}

func (m *member) Poll(ctx context.Context) ([]scenario.Record, error) {
	var got []scenario.Record
	wait := 500 * time.Millisecond
	for len(got) < 100 {
		soon, cancel := context.WithTimeout(ctx, wait)
		message, err := m.FetchMessage(soon)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			break
		} else if err != nil && !errors.Is(err, io.EOF) {
			return got, err
		}
		m.polled = append(m.polled, message)
		got = append(got, convert(message))
		wait = 5 * time.Millisecond
	}
	return got, nil
}

func (m *member) Commit(ctx context.Context) error {
	err := m.CommitMessages(ctx, m.polled...)
	m.polled = nil
	return err
}

type admin struct{ *kafka.Client }

func (c *client) Admin() (scenario.Admin, error) {
	return &admin{&kafka.Client{Addr: kafka.TCP(strings.Split(c.bootstrap, ",")...), Timeout: 20 * time.Second}}, nil
}

func (a *admin) CreateTopic(ctx context.Context, topic string, partitions int, configs map[string]string) error {
	spec := kafka.TopicConfig{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1}
	for key, value := range configs {
		spec.ConfigEntries = append(spec.ConfigEntries, kafka.ConfigEntry{ConfigName: key, ConfigValue: value})
	}
	answer, err := a.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{spec}})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func (a *admin) DeleteTopic(ctx context.Context, topic string) error {
	answer, err := a.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func (a *admin) AddPartitions(ctx context.Context, topic string, total int) error {
	answer, err := a.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: int32(total)}}})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func (a *admin) Partitions(ctx context.Context) (map[string]int, error) {
	answer, err := a.Metadata(ctx, &kafka.MetadataRequest{})
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for _, topic := range answer.Topics {
		counts[topic.Name] = len(topic.Partitions)
	}
	return counts, nil
}

func (a *admin) Config(ctx context.Context, topic, key string) (string, error) {
	answer, err := a.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{key}},
	}})
	if err != nil {
		return "", err
	}
	one := answer.Resources[0]
	if one.Error != nil || len(one.ConfigEntries) == 0 {
		return "", one.Error
	}
	return one.ConfigEntries[0].ConfigValue, nil
}

func (a *admin) SetConfig(ctx context.Context, topic, key, value string) error {
	answer, err := a.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
		Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: key, Value: value, ConfigOperation: kafka.ConfigOperationSet}},
	}}})
	if err != nil {
		return err
	}
	return answer.Resources[0].Error
}

func (a *admin) Groups(ctx context.Context) ([]string, error) {
	answer, err := a.ListGroups(ctx, &kafka.ListGroupsRequest{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, g := range answer.Groups {
		names = append(names, g.GroupID)
	}
	return names, answer.Error
}

func (a *admin) GroupState(ctx context.Context, group string) (string, error) {
	answer, err := a.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		return "", err
	}
	return answer.Groups[0].GroupState, answer.Groups[0].Error
}

func (a *admin) Committed(ctx context.Context, group, topic string) (int64, error) {
	answer, err := a.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {0}}})
	if err != nil {
		return 0, err
	}
	one := answer.Topics[topic][0]
	return one.CommittedOffset, errors.Join(answer.Error, one.Error)
}

func (a *admin) DeleteGroup(ctx context.Context, group string) error {
	answer, err := a.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		return err
	}
	return answer.Errors[group]
}

func (a *admin) DeleteRecords(context.Context, string, int64) error { return scenario.ErrLacks }
