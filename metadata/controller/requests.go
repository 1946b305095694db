package controller

import (
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
)

// Refusal is a request that cannot be carried out, in the protocol's terms. errors.Is finds the kerr value in it.
type Refusal struct {
	Err     *kerr.Error
	Message string // what Kafka would say
}

func (r *Refusal) Error() string { return r.Err.Message + ": " + r.Message }

// Unwrap returns the protocol's error.
func (r *Refusal) Unwrap() error { return r.Err }

// NewTopic asks for a topic.
type NewTopic struct {
	Name              string
	PartitionCount    int32 // -1: num.partitions
	ReplicationFactor int16 // -1: default.replication.factor
	Assignments       []Assignment
	Configs           map[string]*string // nil values are refused as in Kafka
}

// Assignment places one partition by hand.
type Assignment struct {
	Partition int32
	Replicas  []int32
}

// CreatedTopic is the outcome of one NewTopic, in the order of the request.
type CreatedTopic struct {
	Name              string
	Err               error // nil: created (or, with validateOnly, would be)
	ID                image.TopicID
	PartitionCount    int32
	ReplicationFactor int16
	Config            config.Effective // what DescribeConfigs would show
}

// MorePartitions asks for a topic to have Count partitions in all.
type MorePartitions struct {
	TopicID     image.TopicID
	Count       int32
	Assignments [][]int32 // of the new partitions, in order; nil: placed by the controller
}

// ConfigChange changes the settings of one resource.
type ConfigChange struct {
	Resource config.Resource
	Ops      []ConfigOp
	Replace  bool // AlterConfigs of old: whatever Ops does not set goes back to its default
}

// ConfigOp is one step of a ConfigChange. For a legacy replacement every Op is OpSet.
type ConfigOp struct {
	Name  string
	Op    OpType
	Value *string
}

// OpType is what a ConfigOp does, by Kafka's number (AlterConfigOp.OpType).
type OpType int8

// The operations of IncrementalAlterConfigs.
const (
	OpSet      OpType = 0
	OpDelete   OpType = 1
	OpAppend   OpType = 2
	OpSubtract OpType = 3
)
