//go:build e2e

package chaos

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/e2e/chaos/checker"
)

// readTrusting reads every partition of one node from the start, as the node sends it. Consumers leave out what lies before
// the offset that they asked for, and so would hide a broker that goes back.
func (f *flow) readTrusting(ctx context.Context) {
	process := f.rec.Process(checker.Client{})
	cl := f.client()
	defer cl.Close()
	topics, err := kadm.NewClient(cl).ListTopics(ctx, f.cfg.topic)
	if err == nil {
		err = topics.Error()
	}
	if err != nil {
		f.refuse(err)
		return
	}
	request := kmsg.NewPtrFetchRequest()
	request.MaxWaitMillis, request.MinBytes, request.MaxBytes = 500, 16<<10, 1<<20 // several batches an answer
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID = f.cfg.topic, topics[f.cfg.topic].ID
	for p := range int32(f.cfg.partitions) {
		part := kmsg.NewFetchRequestTopicPartition()
		part.Partition, part.PartitionMaxBytes = p, 1<<20
		topic.Partitions = append(topic.Partitions, part)
	}
	request.Topics = []kmsg.FetchRequestTopic{topic}
	f.rec.Invoke(checker.Op{Process: process, Kind: checker.Assign})
	for ctx.Err() == nil {
		f.pollTrusting(ctx, cl.SeedBrokers()[0], process, request)
	}
}

// pollTrusting reads once, and puts into the request how far it has come.
func (f *flow) pollTrusting(ctx context.Context, node *kgo.Broker, process int32, request *kmsg.FetchRequest) {
	at := f.rec.Invoke(checker.Op{Process: process, Kind: checker.Poll})
	response, err := node.Request(ctx, request)
	var steps []checker.Step
	if err == nil {
		answer := response.(*kmsg.FetchResponse)
		err = kerr.ErrorForCode(answer.ErrorCode)
		for i := range answer.Topics {
			for j := range answer.Topics[i].Partitions {
				read, failed := f.take(&answer.Topics[i].Partitions[j], request.Topics[0].Partitions)
				steps, err = append(steps, read...), errors.Join(err, failed)
			}
		}
	}
	f.rec.Return(at, checker.OK, err, func(op *checker.Op) { op.Steps = steps })
	if err != nil && ctx.Err() == nil {
		f.refuse(err)
		time.Sleep(50 * time.Millisecond)
	}
}

// take returns all records of one partition of an answer, and moves on. Each batch is unpacked by itself: of several the client
// leaves out what lies before those that came first.
func (f *flow) take(got *kmsg.FetchResponseTopicPartition, asked []kmsg.FetchRequestTopicPartition) (steps []checker.Step, err error) {
	next := &asked[got.Partition].FetchOffset
	for rest := got.RecordBatches; ; {
		one := *got
		if len(rest) > 0 {
			if one.RecordBatches, rest, err = record.Split(rest); err != nil {
				return steps, err
			}
		}
		everything := kgo.ProcessFetchPartitionOpts{Topic: f.cfg.topic, Partition: got.Partition}
		read, _ := kgo.ProcessFetchPartition(everything, &one, kgo.DefaultDecompressor(), nil)
		err = errors.Join(err, read.Err)
		for _, r := range read.Records {
			v, failed := checker.ParseValue(string(r.Value))
			err = errors.Join(err, failed)
			steps = append(steps, checker.Step{Read: true, Key: checker.Key(r.Partition), Value: v, Offset: r.Offset, Epoch: r.LeaderEpoch})
			*next = max(*next, r.Offset+1)
		}
		if err != nil || len(rest) == 0 {
			return steps, err
		}
	}
}
