package broker

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// shareFixture is a broker with a topic, and a share group that begins at its start.
type shareFixture struct {
	t       *testing.T
	address string
	admin   *kadm.Client
	writer  *kgo.Client
}

func newShareFixture(t *testing.T, partitions int32) *shareFixture {
	t.Helper()
	address := startOne(t).KafkaAddress()
	f := &shareFixture{t: t, address: address, writer: newClient(t, address)}
	f.admin = kadm.NewClient(f.writer)
	if _, err := f.admin.CreateTopic(t.Context(), partitions, 1, nil, "jobs"); err != nil {
		t.Fatal(err)
	}
	f.configure("workers", "share.auto.offset.reset", "earliest")
	return f
}

func newClient(t *testing.T, address string, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(address)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// configure sets a setting of a share group.
func (f *shareFixture) configure(group, name, value string) {
	f.t.Helper()
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	request.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{
		ResourceType: kmsg.ConfigResourceTypeGroupConfig, ResourceName: group,
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: name, Value: &value}},
	}}
	answer, err := request.RequestWith(f.t.Context(), f.writer)
	if err != nil || answer.Resources[0].ErrorCode != 0 {
		f.t.Fatalf("%s=%s: %v %v", name, value, err, answer)
	}
}

func (f *shareFixture) produce(from, to int) {
	f.t.Helper()
	for n := from; n < to; n++ {
		record := &kgo.Record{Topic: "jobs", Key: []byte(fmt.Sprint(n)), Value: []byte(fmt.Sprint("job ", n))}
		if err := f.writer.ProduceSync(f.t.Context(), record).FirstErr(); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *shareFixture) consumer(options ...kgo.Opt) *kgo.Client {
	f.t.Helper()
	return newClient(f.t, f.address, append([]kgo.Opt{kgo.ShareGroup("workers"), kgo.ConsumeTopics("jobs"), kgo.FetchMaxWait(200 * time.Millisecond)}, options...)...)
}

func TestShareConsumersDivideTheRecordsOfOnePartition(t *testing.T) {
	f := newShareFixture(t, 1)
	f.produce(0, 200)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	one, two := f.consumer(kgo.ShareMaxRecords(10), kgo.ShareMaxRecordsStrict()), f.consumer(kgo.ShareMaxRecords(10), kgo.ShareMaxRecordsStrict())
	seen := map[string]int{}
	by := map[*kgo.Client]int{}
	for len(seen) < 200 && ctx.Err() == nil {
		for _, c := range []*kgo.Client{one, two} {
			polling, stop := context.WithTimeout(ctx, 2*time.Second)
			for _, r := range c.PollFetches(polling).Records() {
				seen[string(r.Key)]++
				by[c]++
				r.Ack(kgo.AckAccept)
			}
			stop()
			if err := c.FlushAcks(ctx); err != nil && ctx.Err() == nil {
				t.Fatal(err)
			}
		}
	}
	if len(seen) != 200 || by[one] == 0 || by[two] == 0 {
		t.Fatalf("%d of 200 records came, %d and %d to the two", len(seen), by[one], by[two])
	}
	for key, n := range seen {
		if n != 1 {
			t.Errorf("record %s came %d times", key, n)
		}
	}
}

// poll returns what comes until a record came so often, or a minute is over.
func (f *shareFixture) poll(c *kgo.Client, want int, each func(*kgo.Record)) (records []*kgo.Record) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	for len(records) < want && ctx.Err() == nil {
		for _, r := range c.PollFetches(ctx).Records() {
			records = append(records, r)
			each(r)
		}
		if err := c.FlushAcks(ctx); err != nil {
			f.t.Fatalf("%d of %d records came: %v", len(records), want, err)
		}
	}
	return records
}

// offsets asks where the group is.
func (f *shareFixture) offsets() (start, lag int64) {
	f.t.Helper()
	request := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	request.Groups = []kmsg.DescribeShareGroupOffsetsRequestGroup{{GroupID: "workers"}}
	answer, err := request.RequestWith(f.t.Context(), f.writer)
	if err != nil || answer.Groups[0].ErrorCode != 0 || len(answer.Groups[0].Topics) != 1 {
		f.t.Fatalf("describe: %v %v", err, answer)
	}
	p := answer.Groups[0].Topics[0].Partitions[0]
	return p.StartOffset, p.Lag
}

func TestARecordThatIsReleasedComesAgainUntilItWasDeliveredTooOften(t *testing.T) {
	f := newShareFixture(t, 1)
	f.configure("workers", "share.delivery.count.limit", "3")
	f.produce(0, 2)
	counts := []int32{}
	f.poll(f.consumer(), 4, func(r *kgo.Record) {
		if string(r.Key) == "0" {
			counts = append(counts, r.DeliveryCount())
			r.Ack(kgo.AckRelease)
			return
		}
		r.Ack(kgo.AckReject)
	})
	if fmt.Sprint(counts) != "[1 2 3]" {
		t.Errorf("the record came with the delivery counts %v", counts)
	}
	if start, lag := f.offsets(); start != 2 || lag != 0 {
		t.Errorf("the group is at %d with a lag of %d", start, lag)
	}
}

func TestWhatAMemberHoldsIsFreeWhenItsConnectionEnds(t *testing.T) {
	f := newShareFixture(t, 1)
	f.produce(0, 5)
	first := f.consumer()
	if got := f.poll(first, 5, func(r *kgo.Record) {
		if r.Offset < 2 {
			r.Ack(kgo.AckAccept)
		}
	}); len(got) != 5 {
		t.Fatalf("%d records came", len(got))
	}
	first.CloseAllowingRebalance()
	seen := map[int64]int32{}
	f.poll(f.consumer(), 3, func(r *kgo.Record) {
		seen[r.Offset] = r.DeliveryCount()
		r.Ack(kgo.AckAccept)
	})
	if len(seen) != 3 || seen[2] == 0 || seen[4] == 0 {
		t.Errorf("after the first member went the second got %v", seen)
	}
	if start, lag := f.offsets(); start != 5 || lag != 0 {
		t.Errorf("the group is at %d with a lag of %d", start, lag)
	}
}

func TestAShareGroupThatReadsCommittedSkipsWhatWasAborted(t *testing.T) {
	f := newShareFixture(t, 1)
	f.configure("workers", "share.isolation.level", "read_committed")
	producer := newClient(t, f.address, kgo.TransactionalID("writer"))
	for n, commit := range []bool{true, false, true} {
		if err := producer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			record := &kgo.Record{Topic: "jobs", Key: []byte(fmt.Sprint(n)), Value: []byte(fmt.Sprint(i))}
			if err := producer.ProduceSync(t.Context(), record).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := producer.EndTransaction(t.Context(), kgo.TransactionEndTry(commit)); err != nil {
			t.Fatal(err)
		}
	}
	came := ""
	f.poll(f.consumer(), 6, func(r *kgo.Record) {
		came += string(r.Key)
		r.Ack(kgo.AckAccept)
	})
	if came != "000222" {
		t.Errorf("records of the transactions %s came, must be 000222", came)
	}
	if _, lag := f.offsets(); lag > 1 { // the marker of the last transaction may be there still
		t.Errorf("the lag is %d", lag)
	}
}

func TestAGroupWithoutMembersMayBeginElsewhere(t *testing.T) {
	f := newShareFixture(t, 1)
	f.produce(0, 10)
	first := f.consumer()
	f.poll(first, 10, func(r *kgo.Record) { r.Ack(kgo.AckAccept) })
	alter := kmsg.NewPtrAlterShareGroupOffsetsRequest()
	alter.GroupID = "workers"
	alter.Topics = []kmsg.AlterShareGroupOffsetsRequestTopic{{Topic: "jobs", Partitions: []kmsg.AlterShareGroupOffsetsRequestTopicPartition{{StartOffset: 7}}}}
	answer, err := alter.RequestWith(t.Context(), f.writer)
	if err != nil || kerr.ErrorForCode(answer.ErrorCode) != kerr.NonEmptyGroup {
		t.Fatalf("with a member: %v %v", err, answer)
	}
	first.Close()
	if answer, err = alter.RequestWith(t.Context(), f.writer); err != nil || answer.ErrorCode != 0 || answer.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("without members: %v %v", err, answer)
	}
	came := []int64{}
	f.poll(f.consumer(), 3, func(r *kgo.Record) {
		came = append(came, r.Offset)
		r.Ack(kgo.AckAccept)
	})
	if fmt.Sprint(came) != "[7 8 9]" {
		t.Errorf("the offsets %v came after the group was set to 7", came)
	}
}
