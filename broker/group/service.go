package group

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// Config is what the group coordinator is made of.
type Config struct {
	Log            coordinator.Log       // of __consumer_offsets
	PartitionCount func() int32          // of __consumer_offsets; 0 while the topic does not exist
	Settings       func() Settings       // nil: DefaultSettings
	Clock          func() time.Time      // nil: time.Now
	Logger         *slog.Logger          // nil: discards
	Registerer     prometheus.Registerer // nil: no metrics
}

// Service is the group coordinator of one broker. Its methods named after Kafka APIs block until the answer is ready,
// which for JoinGroup may take the rebalance timeout; they return nil only when ctx ended first.
type Service struct{}

// Caller is who sent a request.
type Caller struct {
	Tenant     string // security.DefaultTenant where there are none
	ClientID   string
	ClientHost string // as DescribeGroups shows it: "/127.0.0.1"
}

// CommittedOffset is one committed offset of a group, for lag metrics.
type CommittedOffset struct {
	Tenant, Group, Topic string
	Partition            int32
	Offset               int64
}

// New makes the coordinator. It holds nothing until OnElection.
func New(cfg Config) *Service { panic("BUG: not yet") }

// Close ends every shard; requests that wait are answered NOT_COORDINATOR.
func (s *Service) Close() { panic("BUG: not yet") }

// OnElection says that this broker leads the partition of __consumer_offsets since leaderEpoch: its groups are loaded.
func (s *Service) OnElection(partition, leaderEpoch int32) { panic("BUG: not yet") }

// OnResignation says that this broker no longer leads the partition.
func (s *Service) OnResignation(partition int32) { panic("BUG: not yet") }

// OnTopicDeleted drops every group's offsets of the topic.
func (s *Service) OnTopicDeleted(tenant, topic string) { panic("BUG: not yet") }

// PartitionFor is the partition of __consumer_offsets that holds the group; -1 while the topic does not exist.
func (s *Service) PartitionFor(tenant, groupID string) int32 { panic("BUG: not yet") }

// CommittedOffsets yields the offsets of every group of the loaded partitions.
func (s *Service) CommittedOffsets(ctx context.Context) iter.Seq[CommittedOffset] {
	panic("BUG: not yet")
}

func (s *Service) JoinGroup(ctx context.Context, who Caller, r *kmsg.JoinGroupRequest) *kmsg.JoinGroupResponse {
	panic("BUG: not yet")
}
