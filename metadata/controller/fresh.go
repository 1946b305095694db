package controller

import (
	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/image"
)

// Fresh returns what is still true of changes of partitions that were planned on an older image: those of partitions that
// have not changed since, and whose new leader may still lead. It costs what the plan holds, where planning looks at every
// partition; so the one who proposes can ask it while others wait.
func Fresh(img *image.Image, planned command.Group) command.Group {
	var fresh command.Group
	for _, one := range planned {
		c, ok := one.(command.ChangePartitions)
		if !ok {
			fresh = append(fresh, one)
			continue
		}
		if c.Changes = freshChanges(img, c); len(c.Changes) > 0 {
			fresh = append(fresh, c)
		}
	}
	return fresh
}

func freshChanges(img *image.Image, planned command.ChangePartitions) (fresh []command.PartitionChange) {
	t := img.TopicByID(planned.TopicID)
	if t == nil {
		return nil
	}
	for _, change := range planned.Changes {
		p := t.Partition(change.Partition)
		if p == nil || p.PartitionEpoch != change.PartitionEpoch {
			continue
		}
		if change.Leader < 0 || change.Leader == p.Leader || img.Broker(change.Leader).Active() {
			fresh = append(fresh, change)
		}
	}
	return fresh
}
