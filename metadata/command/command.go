package command

import (
	"fmt"

	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
)

// Command is one record of the metadata log.
type Command interface {
	// Apply changes the image or returns why it cannot.
	Apply(e *image.Edit) error

	kind() kind
	encode(e *image.Encoder)
}

type kind uint64

// The types of records. Numbers are never used again.
const (
	kindNameCluster      kind = 1
	kindCreateTopic      kind = 2
	kindDeleteTopic      kind = 3
	kindAddPartitions    kind = 4
	kindChangePartitions kind = 5
	kindSetConfig        kind = 6
	kindRegisterBroker   kind = 7
	kindRemoveBroker     kind = 8
	kindTakeProducerIDs  kind = 9
	kindSetFeature       kind = 10
	kindChangeBroker     kind = 11
)

// version returns the version that records of a type are written in, and up to which they are read.
func (k kind) version() uint64 {
	switch k {
	case kindCreateTopic, kindAddPartitions, kindChangePartitions, kindRegisterBroker:
		return 2
	}
	return 1
}

// NameCluster gives the cluster its id; it is the first record of a log.
type NameCluster struct{ ClusterID string }

func (c NameCluster) kind() kind                { return kindNameCluster }
func (c NameCluster) encode(e *image.Encoder)   { e.String(c.ClusterID) }
func (c NameCluster) Apply(e *image.Edit) error { return e.SetClusterID(c.ClusterID) }

// CreateTopic adds a topic with its settings and partitions.
type CreateTopic struct{ Topic *image.Topic }

func (c CreateTopic) kind() kind                { return kindCreateTopic }
func (c CreateTopic) encode(e *image.Encoder)   { e.Topic(c.Topic) }
func (c CreateTopic) Apply(e *image.Edit) error { return e.CreateTopic(c.Topic) }

// DeleteTopic removes a topic with its settings and partitions.
type DeleteTopic struct{ TopicID image.TopicID }

func (c DeleteTopic) kind() kind                { return kindDeleteTopic }
func (c DeleteTopic) encode(e *image.Encoder)   { e.ID(c.TopicID) }
func (c DeleteTopic) Apply(e *image.Edit) error { return e.DeleteTopic(c.TopicID) }

// AddPartitions gives a topic more partitions, numbered from First.
type AddPartitions struct {
	TopicID    image.TopicID
	First      int32
	Partitions []*image.Partition
}

func (c AddPartitions) kind() kind { return kindAddPartitions }
func (c AddPartitions) encode(e *image.Encoder) {
	e.ID(c.TopicID)
	e.Int(int64(c.First))
	e.PartitionList(c.Partitions)
}

// Apply adds the partitions.
func (c AddPartitions) Apply(e *image.Edit) error {
	return e.AddPartitions(c.TopicID, c.First, c.Partitions)
}

// ChangePartitions changes partitions of one topic.
type ChangePartitions struct {
	TopicID image.TopicID
	Changes []PartitionChange // by partition, each once
}

// PartitionChange says what becomes of one partition. Its partition epoch grows by one.
type PartitionChange struct {
	Partition      int32
	PartitionEpoch int32 // before the change; another one refuses the group
	Leader         int32
	LeaderEpoch    int32
	State          *image.Partition // the lists after the change, its leader and epochs are not used; nil: they stay
}

// SetConfig sets and unsets overrides of one resource; a nil value unsets.
type SetConfig struct {
	Resource config.Resource
	Values   map[string]*string
}

func (c SetConfig) kind() kind                { return kindSetConfig }
func (c SetConfig) Apply(e *image.Edit) error { return e.SetConfig(c.Resource, c.Values) }

// RegisterBroker writes a broker's registration. Its epoch is the index of the log entry that the record is in, unless it
// amends the registration of the same incarnation.
type RegisterBroker struct {
	Broker    *image.Broker
	KeepEpoch bool // the epoch is Broker's; never in version 1
}

func (c RegisterBroker) kind() kind { return kindRegisterBroker }
func (c RegisterBroker) encode(e *image.Encoder) {
	e.Broker(c.Broker)
	e.Bool(c.KeepEpoch)
}

// Apply writes the registration.
func (c RegisterBroker) Apply(e *image.Edit) error {
	b := *c.Broker
	if !c.KeepEpoch {
		b.Epoch = int64(e.Index())
	}
	return e.PutBroker(&b)
}

// ChangeBroker changes the state of a registered broker; another epoch refuses the group.
type ChangeBroker struct {
	ID                   int32
	Epoch                int64
	Fenced               bool
	InControlledShutdown bool
	Directories          [][16]byte // that are online
}

func (c ChangeBroker) kind() kind { return kindChangeBroker }
func (c ChangeBroker) encode(e *image.Encoder) {
	e.Int(int64(c.ID))
	e.Int(c.Epoch)
	e.BrokerState(c.Fenced, c.InControlledShutdown)
	e.IDs(c.Directories)
}

// Apply changes the registration.
func (c ChangeBroker) Apply(e *image.Edit) error {
	before := e.Broker(c.ID)
	if before == nil || before.Epoch != c.Epoch {
		return fmt.Errorf("%w: broker %d is not registered at epoch %d", image.ErrNotApplicable, c.ID, c.Epoch)
	}
	after := *before
	after.Fenced, after.InControlledShutdown, after.Directories = c.Fenced, c.InControlledShutdown, c.Directories
	return e.PutBroker(&after)
}

// RemoveBroker forgets a broker.
type RemoveBroker struct{ ID int32 }

func (c RemoveBroker) kind() kind                { return kindRemoveBroker }
func (c RemoveBroker) encode(e *image.Encoder)   { e.Int(int64(c.ID)) }
func (c RemoveBroker) Apply(e *image.Edit) error { return e.RemoveBroker(c.ID) }

// TakeProducerIDs hands the ids First to First+Count-1 to a broker.
type TakeProducerIDs struct {
	BrokerID int32
	First    int64
	Count    int32
}

func (c TakeProducerIDs) kind() kind { return kindTakeProducerIDs }
func (c TakeProducerIDs) encode(e *image.Encoder) {
	e.Int(int64(c.BrokerID))
	e.Int(c.First)
	e.Int(int64(c.Count))
}

// Apply takes the block.
func (c TakeProducerIDs) Apply(e *image.Edit) error { return e.TakeProducerIDs(c.First, c.Count) }

// SetFeature finalizes the level of a feature; level 0 removes it.
type SetFeature struct {
	Name  string
	Level int16
}

func (c SetFeature) kind() kind { return kindSetFeature }
func (c SetFeature) encode(e *image.Encoder) {
	e.String(c.Name)
	e.Int(int64(c.Level))
}

// Apply finalizes the feature.
func (c SetFeature) Apply(e *image.Edit) error { return e.SetFeature(c.Name, c.Level) }
