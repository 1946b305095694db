package broker

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
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
