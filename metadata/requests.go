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

// AllocateProducerIDs hands out a block of producer ids that nobody else gets.
func (n *Node) AllocateProducerIDs(ctx context.Context) (first int64, count int, err error) {
	var block command.TakeProducerIDs
	_, err = n.change(ctx, func(img *image.Image) command.Group {
		block = n.controller.AllocateProducerIDs(img, n.cfg.NodeID)
		return command.Group{block}
	})
	if err != nil {
		return 0, 0, err
	}
	return block.First, int(block.Count), nil
}

// RegisterBroker writes a broker's registration and returns its epoch. The epoch of the argument is not used. A new
// incarnation of a broker leads its partitions under a new leader epoch.
func (n *Node) RegisterBroker(ctx context.Context, b image.Broker) (epoch int64, err error) {
	index, err := n.change(ctx, func(img *image.Image) command.Group {
		return n.controller.RegisterBroker(img, b)
	})
	return int64(index), err
}
