package group

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/record"
)

// quickLog keeps nothing and commits at once.
type quickLog struct{ end int64 }

func (l *quickLog) Append(_ context.Context, _ int32, b record.Batch, _ int32) (int64, error) {
	l.end += int64(b.Count())
	return l.end, nil
}
func (l *quickLog) AwaitCommitted(_ int32, _ int64, _ int32, done func(error)) { done(nil) }
func (l *quickLog) Read(context.Context, int32, int64, int) ([]byte, int64, error) {
	return nil, l.end, nil
}
func (l *quickLog) LogStartOffset(int32) (int64, error) { return 0, nil }

func benchmarked(b *testing.B) *Service {
	s := New(Config{Log: &quickLog{}, PartitionCount: func() int32 { return 1 }})
	b.Cleanup(s.Close)
	s.OnElection(0, 0)
	for s.ListGroups(context.Background(), caller("c"), &kmsg.ListGroupsRequest{}).ErrorCode != 0 {
	}
	return s
}

func BenchmarkHeartbeat(b *testing.B) {
	s := benchmarked(b)
	r := &kmsg.HeartbeatRequest{Group: "g", MemberID: "m"}
	for b.Loop() {
		s.Heartbeat(context.Background(), caller("c"), r)
	}
}

func BenchmarkOffsetCommit(b *testing.B) {
	s := benchmarked(b)
	r := &kmsg.OffsetCommitRequest{Version: 9, Group: "g", Generation: -1, Topics: []kmsg.OffsetCommitRequestTopic{{Topic: "t"}}}
	for partition := range int32(10) {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition = partition
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, p)
	}
	for b.Loop() {
		s.OffsetCommit(context.Background(), caller("c"), r)
	}
}
