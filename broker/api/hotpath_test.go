package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/image"
)

func TestProduceAndFetchOnEveryVersion(t *testing.T) {
	n := startNode(t)
	id := n.topic("orders", 2, nil)
	c := n.dial()
	want, size := []string{}, 0
	for version := int16(3); version <= 13; version++ {
		for _, acks := range []int16{-1, 1} {
			value := fmt.Sprint("v", version, " acks ", acks)
			b := batch(t, value, "more")
			size += len(b)
			r := c.request(produceOf(version, acks, "orders", id, 1, b)).(*kmsg.ProduceResponse)
			p := r.Topics[0].Partitions[0]
			if p.ErrorCode != 0 || p.BaseOffset != int64(len(want)) || p.Partition != 1 || p.LogAppendTime != -1 {
				t.Fatalf("version %d: %+v", version, p)
			}
			want = append(want, value, "more")
		}
	}
	for version := int16(4); version <= 18; version++ {
		r := fetchOf(version, "orders", id, map[int32]int64{0: 0, 1: 0})
		r.MaxWaitMillis = 5000 // acks=1 may not be flushed yet
		r.MinBytes = int32(size)
		got := c.request(r).(*kmsg.FetchResponse)
		if len(got.Topics) != 1 || len(got.Topics[0].Partitions) != 2 {
			t.Fatalf("version %d: %+v", version, got)
		}
		p := got.Topics[0].Partitions[1]
		if p.ErrorCode != 0 || p.HighWatermark != 44 || p.LastStableOffset != 44 || !slices.Equal(values(t, p.RecordBatches), want) {
			t.Fatalf("version %d: %+v", version, p)
		}
		if empty := got.Topics[0].Partitions[0]; empty.HighWatermark != 0 || len(empty.RecordBatches) != 0 {
			t.Fatalf("version %d: %+v", version, empty)
		}
	}
}

// Pipelined requests of all kinds are answered in their order, and what is staged counts for what follows.
func TestPipelinedProduceAndFetch(t *testing.T) {
	n := startNode(t)
	id := n.topic("orders", 3, nil)
	c := n.dial()
	var sent []kmsg.Request
	for i := range 60 {
		p := int32(i % 3)
		sent = append(sent, produceOf(9, int16(-1+2*(i%2)), "orders", id, p, batch(t, fmt.Sprint(i))))
		if i%20 == 19 {
			sent = append(sent, fetchOf(12, "orders", id, map[int32]int64{p: 0}))
		}
	}
	for _, r := range sent {
		c.send(r)
	}
	next := map[int32]int64{}
	for i, r := range sent {
		switch answer := c.read(int32(i+1), r).(type) {
		case *kmsg.ProduceResponse:
			p := answer.Topics[0].Partitions[0]
			if p.ErrorCode != 0 || p.BaseOffset != next[p.Partition] {
				t.Fatalf("request %d: %+v, want offset %d", i, p, next[p.Partition])
			}
			next[p.Partition]++
		case *kmsg.FetchResponse:
			if p := answer.Topics[0].Partitions[0]; p.ErrorCode != 0 {
				t.Fatalf("request %d: %+v", i, p)
			}
		}
	}
}

func TestProduceRefusals(t *testing.T) {
	n := startNode(t)
	id := n.topic("orders", 1, map[string]string{"max.message.bytes": "1000"})
	n.topic("__consumer_offsets", 1, nil)
	good := batch(t, "x")
	damaged := slices.Clone(good)
	damaged[len(damaged)-1] ^= 1
	for _, c := range []struct {
		name    string
		request *kmsg.ProduceRequest
		want    *kerr.Error
	}{
		{"unknown topic", produceOf(9, 1, "nowhere", id, 0, good), kerr.UnknownTopicOrPartition},
		{"unknown partition", produceOf(9, 1, "orders", id, 7, good), kerr.UnknownTopicOrPartition},
		{"negative partition", produceOf(9, 1, "orders", id, -1, good), kerr.UnknownTopicOrPartition},
		{"unknown topic id", produceOf(13, 1, "", image.TopicID{9}, 0, good), kerr.UnknownTopicID},
		{"internal topic", produceOf(9, 1, "__consumer_offsets", id, 0, good), kerr.InvalidTopicException},
		{"acks 2", produceOf(9, 2, "orders", id, 0, good), kerr.InvalidRequiredAcks},
		{"no batch", produceOf(9, 1, "orders", id, 0, nil), kerr.InvalidRecord},
		{"two batches", produceOf(9, 1, "orders", id, 0, slices.Concat(good, good)), kerr.InvalidRecord},
		{"damaged", produceOf(9, 1, "orders", id, 0, damaged), kerr.CorruptMessage},
		{"too large", produceOf(9, 1, "orders", id, 0, batch(t, strings.Repeat("x", 1000))), kerr.MessageTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := n.dial().request(c.request).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
			if p.ErrorCode != c.want.Code || p.BaseOffset != -1 || p.LogStartOffset != -1 {
				t.Fatalf("%+v, want %v", p, c.want)
			}
		})
	}
	if end := n.replicas.Partitions(); len(end) != 2 || end[0].LogEndOffset()+end[1].LogEndOffset() != 0 {
		t.Fatal("a refused batch was appended")
	}
}

// One bad partition does not stand in the way of the others of its request.
func TestProduceManyPartitions(t *testing.T) {
	n := startNode(t)
	n.topic("wide", 100, nil)
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks, r.TimeoutMillis = 9, -1, 10_000
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "wide"
	for i := range int32(101) {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = i, batch(t, fmt.Sprint(i))
		topic.Partitions = append(topic.Partitions, p)
	}
	r.Topics = append(r.Topics, topic)
	c := n.dial()
	for round := range int64(3) {
		for i, p := range c.request(r).(*kmsg.ProduceResponse).Topics[0].Partitions {
			if i == 100 && p.ErrorCode != kerr.UnknownTopicOrPartition.Code || i < 100 && (p.ErrorCode != 0 || p.BaseOffset != round) {
				t.Fatalf("round %d partition %d: %+v", round, i, p)
			}
		}
	}
}

func TestAcksZero(t *testing.T) {
	n := startNode(t)
	id := n.topic("orders", 1, nil)
	c := n.dial()
	c.send(produceOf(9, 0, "orders", id, 0, batch(t, "silent")))
	if p := c.produce("orders", 0, "loud"); p.ErrorCode != 0 || p.BaseOffset != 1 {
		t.Fatalf("%+v", p)
	}
	c.send(produceOf(9, 0, "nowhere", id, 0, batch(t, "lost")))
	if !c.closed() {
		t.Fatal("an error with acks=0 must close the connection")
	}
}

func TestLogAppendTime(t *testing.T) {
	n := startNode(t)
	n.topic("orders", 1, map[string]string{"message.timestamp.type": "LogAppendTime"})
	before := time.Now().UnixMilli()
	p := n.dial().produce("orders", 0, "x")
	if p.ErrorCode != 0 || p.LogAppendTime < before || p.LogAppendTime > time.Now().UnixMilli() {
		t.Fatalf("%+v", p)
	}
}

// A long poll answers when data comes, not before and not much later, and counts bytes up to min.bytes.
func TestFetchWaitsForData(t *testing.T) {
	n := startNode(t)
	id := n.topic("orders", 2, nil)
	c, producer := n.dial(), n.dial()
	r := fetchOf(12, "orders", id, map[int32]int64{0: 0, 1: 0})
	r.MaxWaitMillis, r.MinBytes = 20_000, 150 // one batch has 70 bytes
	start := time.Now()
	c.send(r)
	time.Sleep(30 * time.Millisecond)
	for i := range 3 {
		if p := producer.produce("orders", int32(i%2), "x"); p.ErrorCode != 0 {
			t.Fatalf("%+v", p)
		}
	}
	got := c.read(c.id, r).(*kmsg.FetchResponse)
	if took := time.Since(start); took > 5*time.Second {
		t.Fatalf("took %v", took)
	}
	size := 0
	for _, p := range got.Topics[0].Partitions {
		size += len(p.RecordBatches)
	}
	if size < 150 {
		t.Fatalf("%d bytes", size)
	}
}

func TestFetchWaitEnds(t *testing.T) {
	n := startNode(t)
	id := n.topic("orders", 1, nil)
	c := n.dial()
	r := fetchOf(12, "orders", id, map[int32]int64{0: 0})
	r.MaxWaitMillis = 50
	start := time.Now()
	p := c.request(r).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if took := time.Since(start); p.ErrorCode != 0 || len(p.RecordBatches) != 0 || took < 50*time.Millisecond || took > 2*time.Second {
		t.Fatalf("%+v after %v", p, took)
	}
	r.MaxWaitMillis = 20_000
	c.send(r)
	time.Sleep(20 * time.Millisecond)
	n.edit(func(e *image.Edit) error { return e.DeleteTopic(id) })
	if p := c.read(c.id, r).(*kmsg.FetchResponse).Topics[0].Partitions[0]; p.ErrorCode != kerr.UnknownTopicOrPartition.Code {
		t.Fatalf("a waiting fetch of a deleted topic: %+v", p)
	}
}

func TestFetchErrors(t *testing.T) {
	n := startNode(t)
	id := n.topic("orders", 1, nil)
	c := n.dial()
	for range 3 {
		c.produce("orders", 0, "x", "y")
	}
	ask := func(version int16, change func(*kmsg.FetchRequest, *kmsg.FetchRequestTopicPartition)) kmsg.FetchResponseTopicPartition {
		r := fetchOf(version, "orders", id, map[int32]int64{0: 0})
		change(r, &r.Topics[0].Partitions[0])
		return c.request(r).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	}
	for _, test := range []struct {
		name   string
		change func(*kmsg.FetchRequest, *kmsg.FetchRequestTopicPartition)
		want   int16
	}{
		{"offset past the end", func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.FetchOffset = 7 }, kerr.OffsetOutOfRange.Code},
		{"offset at the end", func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.FetchOffset = 6 }, 0},
		{"negative offset", func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.FetchOffset = -5 }, kerr.OffsetOutOfRange.Code},
		{"old epoch", func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = 2 }, kerr.FencedLeaderEpoch.Code},
		{"future epoch", func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = 4 }, kerr.UnknownLeaderEpoch.Code},
		{"unknown topic", func(r *kmsg.FetchRequest, _ *kmsg.FetchRequestTopicPartition) { r.Topics[0].Topic = "no" }, kerr.UnknownTopicOrPartition.Code},
		{"unknown partition", func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.Partition = 1 }, kerr.UnknownTopicOrPartition.Code},
	} {
		t.Run(test.name, func(t *testing.T) {
			if p := ask(12, test.change); p.ErrorCode != test.want {
				t.Fatalf("error %v, want %v", kerr.ErrorForCode(p.ErrorCode), kerr.ErrorForCode(test.want))
			}
		})
	}
	t.Run("unknown topic id", func(t *testing.T) {
		r := fetchOf(13, "", image.TopicID{8}, map[int32]int64{0: 0})
		got := c.request(r).(*kmsg.FetchResponse)
		if p := got.Topics[0].Partitions[0]; p.ErrorCode != kerr.UnknownTopicID.Code || got.Topics[0].TopicID != (image.TopicID{8}) {
			t.Fatalf("%+v", got.Topics)
		}
	})
	t.Run("diverging epoch", func(t *testing.T) {
		p := ask(12, func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) {
			p.LastFetchedEpoch, p.FetchOffset = 3, 9
		})
		if p.ErrorCode != 0 || p.DivergingEpoch.Epoch != 3 || p.DivergingEpoch.EndOffset != 6 || len(p.RecordBatches) != 0 {
			t.Fatalf("%+v", p)
		}
	})
	t.Run("replica", func(t *testing.T) {
		r := fetchOf(12, "orders", id, map[int32]int64{0: 0})
		r.ReplicaID = 2
		if got := c.request(r).(*kmsg.FetchResponse); got.ErrorCode != kerr.ClusterAuthorizationFailed.Code || len(got.Topics) != 0 {
			t.Fatalf("%+v", got)
		}
	})
}

// Limits in bytes: whole batches only, the first one always, none beyond.
func TestFetchLimits(t *testing.T) {
	n := startNode(t)
	id := n.topic("orders", 3, nil)
	c := n.dial()
	size := 0
	for p := range int32(3) {
		for range 5 {
			b := batch(t, strings.Repeat("x", 100))
			size = len(b)
			if got := c.request(produceOf(9, -1, "orders", id, p, b)).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; got.ErrorCode != 0 {
				t.Fatalf("%+v", got)
			}
		}
	}
	for _, test := range []struct {
		name              string
		maxBytes, perPart int
		want              []int // batches by partition
	}{
		{"all", 1 << 20, 1 << 20, []int{5, 5, 5}},
		{"nothing fits, yet the first batch comes", 1, 1, []int{1, 0, 0}},
		{"max bytes", 7*size + 1, 1 << 20, []int{5, 2, 0}},
		{"partition max bytes", 1 << 20, 2*size + 1, []int{2, 2, 2}},
		{"both", 3 * size, 2 * size, []int{2, 1, 0}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := fetchOf(12, "orders", id, map[int32]int64{0: 0, 1: 0, 2: 0})
			r.MaxBytes = int32(test.maxBytes)
			for i := range r.Topics[0].Partitions {
				r.Topics[0].Partitions[i].PartitionMaxBytes = int32(test.perPart)
			}
			for i, p := range c.request(r).(*kmsg.FetchResponse).Topics[0].Partitions {
				if got := len(p.RecordBatches); got != test.want[i]*size {
					t.Errorf("partition %d: %d bytes, want %d batches of %d", i, got, test.want[i], size)
				}
			}
		})
	}
}
