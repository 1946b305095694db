package metadata

import (
	"context"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
)

// run carries a planned request through, or plans it on the newest image when it is to be validated only.
func (n *Node) run(ctx context.Context, validateOnly bool, plan plan) error {
	if validateOnly {
		plan(n.Image())
		return nil
	}
	_, err := n.change(ctx, plan)
	return err
}

// CreateTopics creates each topic that can be, and says of each what became of it, in order.
func (n *Node) CreateTopics(ctx context.Context, tenant string, topics []controller.NewTopic, validateOnly bool) []controller.CreatedTopic {
	var results []controller.CreatedTopic
	err := n.run(ctx, validateOnly, func(img *image.Image) (group command.Group) {
		results, group = n.controller.CreateTopics(img, tenant, topics)
		return group
	})
	if err == nil {
		return results
	}
	failed := make([]controller.CreatedTopic, len(topics))
	for i, t := range topics {
		failed[i] = controller.CreatedTopic{Name: t.Name, Err: err}
	}
	return failed
}

// DeleteTopics deletes topics; the errors are in the order of ids.
func (n *Node) DeleteTopics(ctx context.Context, ids []image.TopicID) []error {
	return n.each(ctx, len(ids), false, func(img *image.Image) ([]error, command.Group) {
		return n.controller.DeleteTopics(img, ids)
	})
}

// CreatePartitions adds partitions to topics; the errors are in the order of the requests.
func (n *Node) CreatePartitions(ctx context.Context, requests []controller.MorePartitions, validateOnly bool) []error {
	return n.each(ctx, len(requests), validateOnly, func(img *image.Image) ([]error, command.Group) {
		return n.controller.CreatePartitions(img, requests)
	})
}

// AlterConfigs changes settings; the errors are in the order of changes.
func (n *Node) AlterConfigs(ctx context.Context, changes []controller.ConfigChange, validateOnly bool) []error {
	return n.each(ctx, len(changes), validateOnly, func(img *image.Image) ([]error, command.Group) {
		return n.controller.AlterConfigs(img, changes)
	})
}

// each carries a request of several parts through, each of which has an error of its own.
func (n *Node) each(ctx context.Context, parts int, validateOnly bool, plan func(*image.Image) ([]error, command.Group)) []error {
	var results []error
	err := n.run(ctx, validateOnly, func(img *image.Image) (group command.Group) {
		results, group = plan(img)
		return group
	})
	if err == nil {
		return results
	}
	failed := make([]error, parts)
	for i := range failed {
		failed[i] = err
	}
	return failed
}

// AllocateProducerIDs hands a broker a block of producer ids that nobody else gets.
func (n *Node) AllocateProducerIDs(ctx context.Context, brokerID int32, brokerEpoch int64) (first int64, count int, err error) {
	var block command.TakeProducerIDs
	err = n.one(ctx, func(img *image.Image) (group command.Group, err error) {
		block, err = n.controller.AllocateProducerIDs(img, brokerID, brokerEpoch)
		return command.Group{block}, err
	})
	if err != nil {
		return 0, 0, err
	}
	return block.First, int(block.Count), nil
}

// one carries a request through that is granted or refused as a whole. A plan that fails changes nothing.
func (n *Node) one(ctx context.Context, plan func(*image.Image) (command.Group, error)) error {
	var refused error
	_, err := n.change(ctx, func(img *image.Image) (group command.Group) {
		if group, refused = plan(img); refused != nil {
			return nil
		}
		return group
	})
	if err != nil {
		return err // without a look at what the plan says: a caller that gave up may be here before it
	}
	return refused
}
