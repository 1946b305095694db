//go:build e2e

package chaos

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/record"
)

// probe sends single records with acks=all and never tries again, so that a test sees each answer as it is.
type probe struct {
	t      *testing.T
	client *kgo.Client
	topic  string
	id     [16]byte
	ledger *Ledger // nil: not noted
	as     int     // Value.Producer of what it sends
	next   int
}

func newProbe(t *testing.T, address, topic string, ledger *Ledger, as int) *probe {
	t.Helper()
	p := &probe{t: t, client: newClient(t, address), topic: topic, ledger: ledger, as: as}
	t.Cleanup(p.client.Close)
	topics, err := kadm.NewClient(p.client).ListTopics(t.Context(), topic)
	if err == nil {
		err = topics.Error()
	}
	if err != nil {
		t.Fatalf("describe topic %s: %v", topic, err)
	}
	p.id = topics[topic].ID
	return p
}

// produce sends one record of about sizeBytes and returns the answer's error; nil means acknowledged.
func (p *probe) produce(partition int32, sizeBytes int) error {
	v := Value{Producer: p.as, Sequence: p.next}
	p.next++
	b := record.NewBuilder(record.BuilderOptions{PartitionLeaderEpoch: record.NoLeaderEpoch})
	b.Append(time.Now().UnixMilli(), nil, append([]byte(v.String()+" "), make([]byte, sizeBytes)...), nil)
	batch, err := b.Build()
	if err != nil {
		p.t.Fatalf("build a batch: %v", err)
	}
	request := kmsg.NewPtrProduceRequest()
	request.Acks, request.TimeoutMillis = -1, 5000
	request.Topics = []kmsg.ProduceRequestTopic{{Topic: p.topic, TopicID: p.id, Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: partition, Records: batch}}}}
	if p.ledger != nil {
		p.ledger.Sent(v)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	answer, err := p.client.Broker(1).Request(ctx, request)
	if err != nil {
		return err
	}
	response := answer.(*kmsg.ProduceResponse)
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return fmt.Errorf("answer to one partition: %+v", response)
	}
	partitionAnswer := response.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(partitionAnswer.ErrorCode); err != nil {
		return err
	}
	if p.ledger != nil {
		p.ledger.Acknowledged(v, partition, partitionAnswer.BaseOffset)
	}
	return nil
}
