//go:build e2e

package transactions

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/e2e/harness"
)

func await(t *testing.T, what string, holds func(context.Context) error) {
	t.Helper()
	harness.Await(t, what, 90*time.Second, holds)
}

// speaker is a producer that says each request itself, so that it may say what a client never would.
type speaker struct {
	stage  *stage
	client *kgo.Client
	id     string
	old    bool

	producerID int64
	epoch      int16
	sequences  map[int32]int32
}

func (s *stage) speaker(old bool, id string) *speaker {
	s.t.Helper()
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(int16(kmsg.Produce), 12) // the last one that names topics
	if old {
		versions = oldVersions()
	}
	return &speaker{stage: s, client: s.client(kgo.MaxVersions(versions)), id: id, old: old, producerID: -1, epoch: -1}
}

// init is InitProducerId; the answer is taken over where it is one.
func (p *speaker) init() error { return p.initFor(60_000) }

func (p *speaker) initFor(timeoutMillis int32) error {
	r := kmsg.NewPtrInitProducerIDRequest()
	r.TransactionalID, r.TransactionTimeoutMillis, r.ProducerID, r.ProducerEpoch = &p.id, timeoutMillis, p.producerID, p.epoch
	answer, err := r.RequestWith(p.stage.t.Context(), p.client)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		return err
	}
	p.producerID, p.epoch, p.sequences = answer.ProducerID, answer.ProducerEpoch, map[int32]int32{}
	return nil
}

// add is AddPartitionsToTxn, as producers of version 1 send it.
func (p *speaker) add(partition int32) error { return p.addOf(stageTopic, partition) }

// addOf is AddPartitionsToTxn, again while the coordinator's broker has not heard of a topic that was made just now.
func (p *speaker) addOf(topic string, partition int32) (err error) {
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if err = p.addOnce(topic, partition); err != kerr.UnknownTopicOrPartition || time.Now().After(end) {
			return err
		}
	}
}

func (p *speaker) addOnce(topic string, partition int32) error {
	r := kmsg.NewPtrAddPartitionsToTxnRequest()
	r.TransactionalID, r.ProducerID, r.ProducerEpoch = p.id, p.producerID, p.epoch
	r.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: topic, Partitions: []int32{partition}}}
	answer, err := r.RequestWith(p.stage.t.Context(), p.client)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(answer.Topics[0].Partitions[0].ErrorCode)
}

// produce is Produce, again while the answer says that nothing is known of the transaction yet.
func (p *speaker) produce(partition int32, value string) (err error) {
	for err = p.produceOnce(partition, value); err == kerr.NotEnoughReplicas || err == kerr.ConcurrentTransactions; err = p.produceOnce(partition, value) {
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

func (p *speaker) produceOnce(partition int32, value string) error {
	b := record.NewBuilder(record.BuilderOptions{
		HasProducer: true, ProducerID: p.producerID, ProducerEpoch: p.epoch, BaseSequence: p.sequences[partition], Transactional: true,
	})
	b.Append(time.Now().UnixMilli(), nil, []byte(value), nil)
	batch, err := b.Build()
	if err != nil {
		return err
	}
	r := kmsg.NewPtrProduceRequest()
	r.TransactionID, r.Acks, r.TimeoutMillis = &p.id, -1, 10_000
	r.Topics = []kmsg.ProduceRequestTopic{{Topic: stageTopic, Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: partition, Records: batch}}}}
	answer, err := p.client.Broker(p.stage.leaderOf(stageTopic, partition)).Request(p.stage.t.Context(), r)
	if err != nil {
		return err
	}
	err = kerr.ErrorForCode(answer.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode)
	if err == nil {
		p.sequences[partition]++
	}
	return err
}

// end is EndTxn, again while the end of the transaction before is under way.
func (p *speaker) end(commit bool) error {
	r := kmsg.NewPtrEndTxnRequest()
	for {
		r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Commit = p.id, p.producerID, p.epoch, commit
		answer, err := r.RequestWith(p.stage.t.Context(), p.client)
		if err != nil {
			return err
		}
		switch err := kerr.ErrorForCode(answer.ErrorCode); {
		case err == kerr.ConcurrentTransactions && p.stage.t.Context().Err() == nil:
			continue
		case err != nil:
			return err
		}
		if !p.old {
			p.producerID, p.epoch, p.sequences = answer.ProducerID, answer.ProducerEpoch, map[int32]int32{}
		}
		return nil
	}
}

func (p *speaker) want(what string, got error, want *kerr.Error) {
	p.stage.t.Helper()
	if want == nil && got != nil || want != nil && got != want {
		p.stage.t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

// Redpanda 21.10: what a producer was told had failed, by INVALID_TXN_STATE and others of its kind, was visible later. Here each
// refused write and each refused end is followed by transactions that are committed, and nothing of what was refused is there.
func TestWhatWasRefusedIsNeverSeen(t *testing.T) {
	each(t, 1, func(t *testing.T, s *stage, old bool) {
		p := s.speaker(old, "refused")
		p.want("init", p.init(), nil)
		write := func(value string) {
			t.Helper()
			if old {
				p.want("add", p.add(0), nil)
			}
			p.want(value, p.produce(0, value), nil)
		}
		for round := range 10 {
			s.awaitStable()
			if old { // nobody has added the partition: the write belongs to no transaction
				s.aborted[fmt.Sprint(round, " not added")] = true
				p.want("a write of no transaction", p.produce(0, fmt.Sprint(round, " not added")), kerr.InvalidTxnState)
			}
			write(fmt.Sprint(round, " a"))
			before := *p
			p.want("commit", p.end(true), nil)
			s.committed = append(s.committed, fmt.Sprint(round, " a"))
			if old {
				p.want("an abort of what is committed", p.end(false), kerr.InvalidTxnState)
			} else {
				p.want("a commit of nothing", p.end(true), kerr.InvalidTxnState)
				s.awaitStable() // the marker is there, and with it the next epoch
				s.aborted[fmt.Sprint(round, " late")] = true
				p.want("a write of the epoch before", before.produce(0, fmt.Sprint(round, " late")), kerr.InvalidProducerEpoch)
			}
			s.aborted[fmt.Sprint(round, " b")] = true
			write(fmt.Sprint(round, " b"))
			p.want("abort", p.end(false), nil)
			if old {
				p.want("a commit of what is aborted", p.end(true), kerr.InvalidTxnState)
			}
		}
		s.check(false)
	})
}
