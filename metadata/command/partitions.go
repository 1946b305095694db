package command

import (
	"fmt"
	"maps"
	"slices"

	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
)

func (c ChangePartitions) kind() kind { return kindChangePartitions }

func (c ChangePartitions) encode(e *image.Encoder) {
	e.ID(c.TopicID)
	e.Uint(uint64(len(c.Changes)))
	for _, change := range c.Changes {
		e.Int(int64(change.Partition))
		e.Int(int64(change.PartitionEpoch))
		e.Int(int64(change.Leader))
		e.Int(int64(change.LeaderEpoch))
		e.Bool(change.State != nil)
		if change.State != nil {
			e.Partition(change.State)
		}
	}
}

func decodeChangePartitions(d *image.Decoder, _ uint64) Command {
	c := ChangePartitions{TopicID: d.ID()}
	for range d.Count(5) {
		change := PartitionChange{Partition: d.Int32(), PartitionEpoch: d.Int32(), Leader: d.Int32(), LeaderEpoch: d.Int32()}
		if d.Bool() {
			change.State = d.Partition(nil)
		}
		c.Changes = append(c.Changes, change)
	}
	return c
}

// Apply changes the partitions.
func (c ChangePartitions) Apply(e *image.Edit) error {
	changed := make(map[int32]*image.Partition, len(c.Changes))
	for _, change := range c.Changes {
		before := e.Partition(c.TopicID, change.Partition)
		if before == nil {
			return fmt.Errorf("%w: topic %s has no partition %d", image.ErrNotApplicable, c.TopicID, change.Partition)
		}
		if before.PartitionEpoch != change.PartitionEpoch {
			return fmt.Errorf("%w: partition %d of topic %s is at partition epoch %d, not %d", image.ErrNotApplicable,
				change.Partition, c.TopicID, before.PartitionEpoch, change.PartitionEpoch)
		}
		after := *before
		if change.State != nil {
			after = *change.State
		}
		after.Leader, after.LeaderEpoch, after.PartitionEpoch = change.Leader, change.LeaderEpoch, before.PartitionEpoch+1
		changed[change.Partition] = &after
	}
	return e.ChangePartitions(c.TopicID, changed)
}

func (c SetConfig) encode(e *image.Encoder) {
	e.Uint(uint64(c.Resource.Type))
	e.String(c.Resource.Tenant)
	e.String(c.Resource.Name)
	e.Uint(uint64(len(c.Values)))
	for _, name := range slices.Sorted(maps.Keys(c.Values)) {
		value := c.Values[name]
		e.String(name)
		e.Bool(value != nil)
		if value != nil {
			e.String(*value)
		}
	}
}

func decodeSetConfig(d *image.Decoder, _ uint64) Command {
	c := SetConfig{Resource: config.Resource{Type: config.ResourceType(d.Uint() & 0x7f), Tenant: d.String(), Name: d.String()}}
	n := d.Count(2)
	c.Values = make(map[string]*string, n)
	for range n {
		name := d.String()
		c.Values[name] = nil
		if d.Bool() {
			value := d.String()
			c.Values[name] = &value
		}
	}
	return c
}
