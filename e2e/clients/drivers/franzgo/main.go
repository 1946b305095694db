// Command franzgo drives github.com/twmb/franz-go.
package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-io/millrace/e2e/clients/drivers/scenario"
)

func main() {
	scenario.Main(func(bootstrap string) scenario.Client { return &client{bootstrap: bootstrap} })
}

type client struct{ bootstrap string }

func (c *client) seeds() []string { return strings.Split(c.bootstrap, ",") }

func (c *client) open(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.seeds()...), kgo.MetadataMinAge(250 * time.Millisecond)}, options...)...)
}

func (c *client) Produce(ctx context.Context, how scenario.Sending, records []scenario.Record) error {
	acks := map[int]kgo.Acks{0: kgo.NoAck(), 1: kgo.LeaderAck(), -1: kgo.AllISRAcks()}
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	options := []kgo.Opt{
		kgo.RequiredAcks(acks[how.Acks]), kgo.ProducerBatchCompression(codecs[how.Codec]), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(1 << 20),
	}
	if !how.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
	}
	k, err := c.open(options...)
	if err != nil {
		return err
	}
	defer k.Close()
	out := make([]*kgo.Record, len(records))
	for i, r := range records {
		out[i] = &kgo.Record{Topic: how.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value}
		if r.TimestampMillis != 0 {
			out[i].Timestamp = time.UnixMilli(r.TimestampMillis)
		}
		for _, h := range r.Headers {
			out[i].Headers = append(out[i].Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
	}
	return k.ProduceSync(ctx, out...).FirstErr()
}

func convert(records []*kgo.Record) []scenario.Record {
	out := make([]scenario.Record, len(records))
	for i, r := range records {
		out[i] = scenario.Record{Key: r.Key, Value: r.Value, TimestampMillis: r.Timestamp.UnixMilli(), Partition: r.Partition, Offset: r.Offset}
		for _, h := range r.Headers {
			out[i].Headers = append(out[i].Headers, scenario.Header{Key: h.Key, Value: h.Value})
		}
	}
	return out
}

func (c *client) Read(ctx context.Context, topic string, from scenario.Start, n int, ready func() error) ([]scenario.Record, error) {
	start := kgo.NewOffset().AtStart()
	switch from.At {
	case "end":
		a, err := c.Admin()
		if err != nil {
			return nil, err
		}
		ends, err := a.(*admin).ListEndOffsets(ctx, topic)
		if err != nil {
			return nil, err
		}
		end, _ := ends.Lookup(topic, 0)
		start = kgo.NewOffset().At(end.Offset)
	case "time":
		start = kgo.NewOffset().AfterMilli(from.Millis)
	}
	k, err := c.open(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: start}}), kgo.FetchMaxWait(250*time.Millisecond))
	if err != nil {
		return nil, err
	}
	defer k.Close()
	if err := ready(); err != nil {
		return nil, err
	}
	var got []scenario.Record
	for len(got) < n {
		fetches := k.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		got = append(got, convert(fetches.Records())...)
	}
	return got[:n], nil
}

type member struct{ *kgo.Client }

func (c *client) Join(_ context.Context, group, topic string) (scenario.Member, error) {
	k, err := c.open(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(),
		kgo.SessionTimeout(10*time.Second), kgo.HeartbeatInterval(300*time.Millisecond), kgo.FetchMaxWait(250*time.Millisecond))
	return &member{k}, err
}

func (m *member) Poll(ctx context.Context) ([]scenario.Record, error) {
	soon, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	fetches := m.PollFetches(soon)
	if err := fetches.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	return convert(fetches.Records()), nil
}

func (m *member) Commit(ctx context.Context) error { return m.CommitUncommittedOffsets(ctx) }

func (m *member) Close() error {
	m.Client.Close()
	return nil
}

type admin struct{ *kadm.Client }

func (c *client) Admin() (scenario.Admin, error) {
	k, err := c.open()
	return &admin{kadm.NewClient(k)}, err
}

func (a *admin) CreateTopic(ctx context.Context, topic string, partitions int, configs map[string]string) error {
	values := map[string]*string{}
	for key, value := range configs {
		values[key] = &value
	}
	_, err := a.Client.CreateTopic(ctx, int32(partitions), 1, values, topic)
	return err
}

func (a *admin) DeleteTopic(ctx context.Context, topic string) error {
	_, err := a.Client.DeleteTopic(ctx, topic)
	return err
}

func (a *admin) AddPartitions(ctx context.Context, topic string, total int) error {
	answer, err := a.UpdatePartitions(ctx, total, topic)
	return errors.Join(err, answer.Error())
}

func (a *admin) Partitions(ctx context.Context) (map[string]int, error) {
	all, err := a.ListTopics(ctx)
	counts := map[string]int{}
	for topic, detail := range all {
		counts[topic] = len(detail.Partitions)
	}
	return counts, err
}

func (a *admin) Config(ctx context.Context, topic, key string) (string, error) {
	all, err := a.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return "", err
	}
	one, err := all.On(topic, nil)
	if err != nil {
		return "", err
	}
	for _, config := range one.Configs {
		if config.Key == key {
			return config.MaybeValue(), one.Err
		}
	}
	return "", one.Err
}

func (a *admin) SetConfig(ctx context.Context, topic, key, value string) error {
	answers, err := a.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: key, Value: &value}}, topic)
	for _, answer := range answers {
		err = errors.Join(err, answer.Err)
	}
	return err
}

func (a *admin) Groups(ctx context.Context) ([]string, error) {
	all, err := a.ListGroups(ctx)
	return all.Groups(), err
}

func (a *admin) GroupState(ctx context.Context, group string) (string, error) {
	all, err := a.DescribeGroups(ctx, group)
	return all[group].State, errors.Join(err, all.Error())
}

func (a *admin) Committed(ctx context.Context, group, topic string) (int64, error) {
	all, err := a.FetchOffsets(ctx, group)
	if err != nil {
		return 0, err
	}
	one, _ := all.Lookup(topic, 0)
	return one.At, one.Err
}

func (a *admin) DeleteGroup(ctx context.Context, group string) error {
	_, err := a.Client.DeleteGroup(ctx, group)
	return err
}

func (a *admin) DeleteRecords(ctx context.Context, topic string, before int64) error {
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: before})
	answer, err := a.Client.DeleteRecords(ctx, offsets)
	return errors.Join(err, answer.Error())
}
