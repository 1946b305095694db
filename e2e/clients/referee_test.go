//go:build e2e

package clients

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// refereeWithin bounds each thing the referee does.
const refereeWithin = 20 * time.Second

var codecNumbers = map[string]uint8{"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}

func withClient(c *cell, use func(context.Context, *kgo.Client) error, options ...kgo.Opt) error {
	ctx, cancel := context.WithTimeout(context.Background(), refereeWithin)
	defer cancel()
	k, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(strings.Split(c.address, ",")...), kgo.FetchMaxWait(100 * time.Millisecond)}, options...)...)
	if err != nil {
		return err
	}
	defer k.Close()
	return use(ctx, k)
}

// passing tells an error that a broker which restarts is reason enough for: the referee is no client under test and asks again.
func passing(err error) bool {
	var network *net.OpError
	return kerr.IsRetriable(err) || errors.As(err, &network) || errors.Is(err, io.EOF)
}

// persist asks until the answer is no passing error, or ctx ends.
func persist[T any](ctx context.Context, ask func() (T, error)) (T, error) {
	for {
		answer, err := ask()
		if err == nil || !passing(err) {
			return answer, err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return answer, err
		}
	}
}

// prepare makes the topic of a cell and fills it: records fill/0 and on, a second apart, in batches of every codec that
// the client reads.
func prepare(c *cell) error {
	c.middle = time.Now().Add(-time.Hour).Truncate(time.Second)
	if c.feature.partitions == 0 {
		return nil
	}
	err := withClient(c, func(ctx context.Context, k *kgo.Client) error {
		_, err := kadm.NewClient(k).CreateTopic(ctx, int32(c.feature.partitions), -1, nil, c.topic)
		return err
	})
	for i := 0; i < c.feature.fill && err == nil; i += 10 {
		err = fill(c, i, c.client.codes[i/10%len(c.client.codes)])
	}
	if err != nil {
		return fmt.Errorf("prepare topic %s: %w", c.topic, err)
	}
	return nil
}

func fill(c *cell, first int, codec string) error {
	compression := map[string]kgo.CompressionCodec{"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}[codec]
	if codec == "none" {
		compression = kgo.NoCompression()
	}
	return withClient(c, func(ctx context.Context, k *kgo.Client) error {
		var records []*kgo.Record
		for i := first; i < first+10; i++ {
			at := c.middle.Add(time.Duration(i-c.feature.fill/2) * time.Second)
			records = append(records, &kgo.Record{Topic: c.topic, Value: fmt.Appendf(nil, "fill/%d", i), Timestamp: at})
		}
		return k.ProduceSync(ctx, records...).FirstErr()
	}, kgo.ProducerBatchCompression(compression), kgo.UnknownTopicRetries(20))
}

// consume returns the first n records of the cell's topic and makes sure there are no more.
func consume(c *cell, n int) ([]*kgo.Record, error) {
	var got []*kgo.Record
	err := withClient(c, func(ctx context.Context, k *kgo.Client) error {
		for len(got) < n {
			fetches := k.PollFetches(ctx)
			got = append(got, fetches.Records()...)
			if err := fetches.Err(); err != nil && !passing(err) {
				return fmt.Errorf("referee has %d of %d records: %w", len(got), n, err)
			}
		}
		ends, err := persist(ctx, func() (kadm.ListedOffsets, error) { return kadm.NewClient(k).ListEndOffsets(ctx, c.topic) })
		if end, _ := ends.Lookup(c.topic, 0); err == nil && end.Offset != int64(n) {
			return fmt.Errorf("the topic ends at %d, want %d", end.Offset, n)
		}
		return err
	}, kgo.ConsumeTopics(c.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	return got, err
}

// refereeProduce expects every record once, in order, in batches of the codec that was asked for.
func refereeProduce(c *cell) error {
	got, err := consume(c, c.count*len(c.codecs))
	if err != nil {
		return err
	}
	for i, r := range got {
		codec := c.codecs[i/c.count]
		want := fmt.Sprintf("%s/%s/%d ", codec, c.feature.acks, i%c.count)
		if !strings.HasPrefix(string(r.Value), want) {
			return fmt.Errorf("record %d is %.40q, want %q", i, r.Value, want)
		}
		if r.Attrs.CompressionType() != codecNumbers[codec] {
			return fmt.Errorf("record %d came in codec %d, want %s", i, r.Attrs.CompressionType(), codec)
		}
	}
	return nil
}

// refereeFields expects what is common to all clients: the first record with its headers, nulls where they belong.
func refereeFields(c *cell) error {
	return withClient(c, func(ctx context.Context, k *kgo.Client) error {
		var records []*kgo.Record
		for len(records) == 0 {
			fetches := k.PollFetches(ctx)
			records = fetches.Records()
			if err := fetches.Err(); err != nil && !passing(err) {
				return fmt.Errorf("referee sees no records: %w", err)
			}
		}
		r := records[0]
		if string(r.Key) != "key" || string(r.Value) != "value" || len(r.Headers) == 0 || r.Headers[0].Key != "one" || string(r.Headers[0].Value) != "1" {
			return fmt.Errorf("referee sees %q=%q with headers %v", r.Key, r.Value, r.Headers)
		}
		return nil
	}, kgo.ConsumeTopics(c.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
}

// refereeIdempotence expects the records in order, each once, from a producer with an id.
func refereeIdempotence(c *cell) error {
	got, err := consume(c, 1000)
	if err != nil {
		return err
	}
	for i, r := range got {
		if want := fmt.Sprintf("idempotent/%d", i); string(r.Value) != want {
			return fmt.Errorf("record %d is %.40q, want %q", i, r.Value, want)
		}
		if r.ProducerID < 0 {
			return fmt.Errorf("record %d has no producer id", i)
		}
	}
	return nil
}

// refereeCommits expects the group's offset at the end of both halves.
func refereeCommits(c *cell) error {
	return withClient(c, func(ctx context.Context, k *kgo.Client) error {
		offsets, err := persist(ctx, func() (kadm.OffsetResponses, error) { return kadm.NewClient(k).FetchOffsets(ctx, c.group) })
		if err != nil {
			return err
		}
		if at, _ := offsets.Lookup(c.topic, 0); at.At != int64(2*c.count) {
			return fmt.Errorf("the group has committed %d, want %d", at.At, 2*c.count)
		}
		return nil
	})
}

// refereeTransactions expects the copy once and in order for those who read what is committed, what was aborted for the
// others only, and the group's offset at the end.
func refereeTransactions(c *cell) error {
	var kept, dropped []string
	for i := range filled {
		kept = append(kept, fmt.Sprintf("kept/%d", i))
	}
	for i := 30; i < 60; i++ {
		dropped = append(dropped, fmt.Sprintf("dropped/%d", i))
	}
	everything := slices.Concat(kept[:30], dropped, kept[30:])
	for level, want := range map[kgo.IsolationLevel][]string{kgo.ReadCommitted(): kept, kgo.ReadUncommitted(): everything} {
		if err := expectCopy(c, level, want); err != nil {
			return err
		}
	}
	return withClient(c, func(ctx context.Context, k *kgo.Client) error {
		offsets, err := persist(ctx, func() (kadm.OffsetResponses, error) { return kadm.NewClient(k).FetchOffsets(ctx, c.group) })
		if err != nil {
			return err
		}
		if at, _ := offsets.Lookup(c.topic, 0); at.At != filled {
			return fmt.Errorf("the group has committed %d, want %d", at.At, filled)
		}
		return nil
	})
}

func expectCopy(c *cell, level kgo.IsolationLevel, want []string) error {
	start := map[string]map[int32]kgo.Offset{c.topic + ".out": {0: kgo.NewOffset().AtStart()}}
	return withClient(c, func(ctx context.Context, k *kgo.Client) error {
		var got []string
		for len(got) < len(want) {
			fetches := k.PollFetches(ctx)
			if err := fetches.Err(); err != nil && !passing(err) {
				return fmt.Errorf("%d of %d records of the copy: %w", len(got), len(want), err)
			}
			fetches.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("the copy holds %v, want %v", got, want)
		}
		return nil
	}, kgo.ConsumePartitions(start), kgo.FetchIsolationLevel(level))
}
