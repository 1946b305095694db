package api

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/metadata/image"
)

// batchAt makes a batch with one record at each timestamp.
func batchAt(t testing.TB, timestamps ...int64) record.Batch {
	t.Helper()
	b := record.NewBuilder(record.BuilderOptions{})
	for _, ts := range timestamps {
		b.Append(ts, nil, []byte("x"), nil)
	}
	built, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return built
}

func listOf(version int16, partition int32, timestamp int64) *kmsg.ListOffsetsRequest {
	r := kmsg.NewPtrListOffsetsRequest()
	r.Version = version
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = "orders"
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp, p.CurrentLeaderEpoch = partition, timestamp, -1
	t.Partitions = append(t.Partitions, p)
	r.Topics = append(r.Topics, t)
	return r
}

func TestListOffsets(t *testing.T) {
	n := startNode(t)
	id := n.topic("orders", 2, nil)
	c := n.dial()
	for _, b := range []record.Batch{batchAt(t, 100, 200), batchAt(t, 500, 400), batchAt(t, 300)} {
		if p := c.request(produceOf(9, -1, "orders", id, 0, b)).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 {
			t.Fatalf("%+v", p)
		}
	}
	for _, test := range []struct {
		name         string
		version      int16
		partition    int32
		timestamp    int64
		offset, time int64
		epoch        int32
		err          *kerr.Error
	}{
		{"latest", 7, 0, -1, 5, -1, 3, nil},
		{"earliest", 7, 0, -2, 0, -1, 3, nil},
		{"largest timestamp", 7, 0, -3, 2, 500, 3, nil},
		{"earliest local", 8, 0, -4, 0, -1, 3, nil},
		{"latest tiered", 9, 0, -5, -1, -1, -1, nil},
		{"earliest pending upload", 11, 0, -6, -1, -1, -1, nil},
		{"largest timestamp too early", 6, 0, -3, -1, -1, -1, kerr.UnsupportedVersion},
		{"earliest local too early", 7, 0, -4, -1, -1, -1, kerr.UnsupportedVersion},
		{"unknown special timestamp", 11, 0, -7, -1, -1, -1, kerr.UnsupportedVersion},
		{"at a time", 7, 0, 150, 1, 200, 3, nil},
		{"exactly", 7, 0, 400, 2, 500, 3, nil},
		{"before all", 1, 0, 0, 0, 100, -1, nil},
		{"after all", 7, 0, 501, -1, -1, -1, nil},
		{"empty latest", 7, 1, -1, 0, -1, 3, nil},
		{"empty earliest", 7, 1, -2, 0, -1, 3, nil},
		{"empty at a time", 7, 1, 5, -1, -1, -1, nil},
		{"empty largest timestamp", 7, 1, -3, -1, -1, -1, nil},
		{"unknown partition", 7, 2, -1, -1, -1, -1, kerr.UnknownTopicOrPartition},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := c.request(listOf(test.version, test.partition, test.timestamp)).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
			want := int16(0)
			if test.err != nil {
				want = test.err.Code
			}
			if p.ErrorCode != want || p.Offset != test.offset || p.Timestamp != test.time || p.LeaderEpoch != test.epoch {
				t.Fatalf("%+v, want %+v", p, test)
			}
		})
	}
	t.Run("named twice", func(t *testing.T) {
		r := listOf(7, 0, -1)
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, r.Topics[0].Partitions[0])
		for _, p := range c.request(r).(*kmsg.ListOffsetsResponse).Topics[0].Partitions {
			if p.ErrorCode != kerr.InvalidRequest.Code {
				t.Fatalf("%+v", p)
			}
		}
	})
	t.Run("old epoch", func(t *testing.T) {
		r := listOf(7, 0, -1)
		r.Topics[0].Partitions[0].CurrentLeaderEpoch = 1
		if p := c.request(r).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]; p.ErrorCode != kerr.FencedLeaderEpoch.Code {
			t.Fatalf("%+v", p)
		}
	})
}

func TestDeleteRecordsAPI(t *testing.T) {
	n := startNode(t)
	n.topic("orders", 1, nil)
	n.topic("__consumer_offsets", 1, nil)
	c := n.dial()
	c.produce("orders", 0, "a", "b", "c")
	remove := func(version int16, topic string, offset int64) kmsg.DeleteRecordsResponseTopicPartition {
		r := kmsg.NewPtrDeleteRecordsRequest()
		r.Version = version
		rt := kmsg.NewDeleteRecordsRequestTopic()
		rt.Topic = topic
		rp := kmsg.NewDeleteRecordsRequestTopicPartition()
		rp.Offset = offset
		rt.Partitions = append(rt.Partitions, rp)
		r.Topics = append(r.Topics, rt)
		return c.request(r).(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0]
	}
	for version := range int16(3) {
		if p := remove(version, "orders", 2); p.ErrorCode != 0 || p.LowWatermark != 2 {
			t.Fatalf("version %d: %+v", version, p)
		}
	}
	for _, test := range []struct {
		topic  string
		offset int64
		want   *kerr.Error
	}{
		{"orders", 4, kerr.OffsetOutOfRange}, {"nowhere", 0, kerr.UnknownTopicOrPartition}, {"__consumer_offsets", 0, kerr.InvalidTopicException},
	} {
		if p := remove(2, test.topic, test.offset); p.ErrorCode != test.want.Code || p.LowWatermark != -1 {
			t.Errorf("%s to %d: %+v, want %v", test.topic, test.offset, p, test.want)
		}
	}
	f := c.request(fetchOf(12, "orders", image.TopicID{}, map[int32]int64{0: 1})).(*kmsg.FetchResponse)
	if p := f.Topics[0].Partitions[0]; p.ErrorCode != kerr.OffsetOutOfRange.Code {
		t.Fatalf("what was deleted is read: %+v", p)
	}
}

func TestOffsetForLeaderEpoch(t *testing.T) {
	n := startNode(t)
	n.topic("orders", 1, nil)
	c := n.dial()
	c.produce("orders", 0, "a", "b")
	for _, test := range []struct {
		current, asked, epoch int32
		end                   int64
		err                   int16
	}{
		{-1, 3, 3, 2, 0}, {3, 3, 3, 2, 0}, {-1, 9, -1, -1, 0}, {-1, 1, 1, 0, 0}, {-1, -1, -1, -1, 0}, {-1, -5, -5, 0, 0},
		{2, 3, -1, -1, kerr.FencedLeaderEpoch.Code}, {4, 3, -1, -1, kerr.UnknownLeaderEpoch.Code},
	} {
		p := c.request(epochOf(test.current, test.asked)).(*kmsg.OffsetForLeaderEpochResponse).Topics[0].Partitions[0]
		if p.ErrorCode != test.err || p.LeaderEpoch != test.epoch || p.EndOffset != test.end {
			t.Errorf("current %d asked %d: %+v", test.current, test.asked, p)
		}
	}
}

// epochOf asks partition 0 of orders where an epoch ends.
func epochOf(current, asked int32) *kmsg.OffsetForLeaderEpochRequest {
	r := kmsg.NewPtrOffsetForLeaderEpochRequest()
	r.Version = 4
	rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
	rt.Topic = "orders"
	rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	rp.CurrentLeaderEpoch, rp.LeaderEpoch = current, asked
	rt.Partitions = append(rt.Partitions, rp)
	r.Topics = append(r.Topics, rt)
	return r
}

func TestDescribeLogDirs(t *testing.T) {
	n := startNode(t)
	n.topic("orders", 3, nil)
	n.topic("rides", 1, nil)
	c := n.dial()
	c.produce("orders", 1, "a")
	for version := int16(1); version <= 5; version++ {
		r := kmsg.NewPtrDescribeLogDirsRequest()
		r.Version = version
		all := c.request(r).(*kmsg.DescribeLogDirsResponse)
		if all.ErrorCode != 0 || len(all.Dirs) != 1 || fmt.Sprint(len(all.Dirs[0].Topics), len(all.Dirs[0].Topics[0].Partitions)) != "2 3" {
			t.Fatalf("version %d: %+v", version, all)
		}
		if version >= 4 && (all.Dirs[0].TotalBytes <= 0 || all.Dirs[0].UsableBytes > all.Dirs[0].TotalBytes) {
			t.Errorf("version %d: %d of %d bytes usable", version, all.Dirs[0].UsableBytes, all.Dirs[0].TotalBytes)
		}
		rt := kmsg.NewDescribeLogDirsRequestTopic()
		rt.Topic, rt.Partitions = "orders", []int32{1, 7}
		r.Topics = append(r.Topics, rt)
		some := c.request(r).(*kmsg.DescribeLogDirsResponse)
		if topics := some.Dirs[0].Topics; len(topics) != 1 || len(topics[0].Partitions) != 1 || topics[0].Partitions[0].Size == 0 {
			t.Fatalf("version %d: %+v", version, some)
		}
	}
}

// A log directory that could not be opened at the start is told as one that has failed, as Kafka does.
func TestDescribeLogDirsTellsOfAMissingOne(t *testing.T) {
	n := startNode(t)
	n.services.MissingLogDirs = []string{"/lost/logs"}
	n.topic("orders", 1, nil)
	c := n.dial()
	c.produce("orders", 0, "a")
	r := kmsg.NewPtrDescribeLogDirsRequest()
	r.Version = r.MaxVersion()
	dirs := c.request(r).(*kmsg.DescribeLogDirsResponse).Dirs
	if len(dirs) != 2 || dirs[0].ErrorCode != 0 || len(dirs[0].Topics) != 1 {
		t.Fatalf("%+v", dirs)
	}
	if d := dirs[1]; d.Dir != "/lost/logs" || d.ErrorCode != kerr.KafkaStorageError.Code || len(d.Topics) != 0 {
		t.Errorf("the missing one is told as %+v", d)
	}
}

func TestDescribeProducers(t *testing.T) {
	n := startNode(t)
	id := n.topic("orders", 1, nil)
	c := n.dial()
	b := record.NewBuilder(record.BuilderOptions{HasProducer: true, ProducerID: 44, ProducerEpoch: 2})
	b.Append(1_700_000_000_000, nil, []byte("x"), nil)
	b.Append(1_700_000_000_000, nil, []byte("y"), nil)
	built, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	produce := func() kmsg.ProduceResponseTopicPartition {
		return c.request(produceOf(9, -1, "orders", id, 0, built)).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	}
	for range 2 { // the second is a duplicate
		if p := produce(); p.ErrorCode != 0 || p.BaseOffset != 0 {
			t.Fatalf("%+v", p)
		}
	}
	r := kmsg.NewPtrDescribeProducersRequest()
	rt := kmsg.NewDescribeProducersRequestTopic()
	rt.Topic, rt.Partitions = "orders", []int32{0, 3}
	r.Topics = append(r.Topics, rt)
	got := c.request(r).(*kmsg.DescribeProducersResponse).Topics[0].Partitions
	if got[1].ErrorCode != kerr.UnknownTopicOrPartition.Code || len(got[0].ActiveProducers) != 1 {
		t.Fatalf("%+v", got)
	}
	if a := got[0].ActiveProducers[0]; a.ProducerID != 44 || a.ProducerEpoch != 2 || a.LastSequence != 1 || a.CurrentTxnStartOffset != -1 || a.LastTimestamp != 1_700_000_000_000 {
		t.Fatalf("%+v", a)
	}
}
