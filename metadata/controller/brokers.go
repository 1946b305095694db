package controller

import (
	"slices"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/image"
)

// RegisterBroker plans a broker's registration. A new incarnation leads its partitions under a new leader epoch: what its
// predecessor had not flushed may be gone, and a reader that saw it must be able to tell (KIP-320).
func (c *Controller) RegisterBroker(img *image.Image, b image.Broker) command.Group {
	group := command.Group{command.RegisterBroker{Broker: &b}}
	if before := img.Broker(b.ID); before != nil && before.Incarnation == b.Incarnation {
		return group
	}
	for t := range img.AllTopics() {
		var changes []command.PartitionChange
		for i, p := range t.Partitions() {
			if p.Leader == b.ID || p.Leader == -1 && slices.Contains(p.ISR, b.ID) {
				changes = append(changes, command.PartitionChange{
					Partition: i, PartitionEpoch: p.PartitionEpoch, Leader: b.ID, LeaderEpoch: p.LeaderEpoch + 1,
				})
			}
		}
		if len(changes) > 0 {
			group = append(group, command.ChangePartitions{TopicID: t.ID, Changes: changes})
		}
	}
	return group
}
