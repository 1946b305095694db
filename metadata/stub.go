package metadata

import (
	"context"

	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
)

type impl struct{}

func open(ctx context.Context, cfg Config) (*Node, error)   { return &Node{}, cfg.Validate() }
func (n impl) image() *image.Image                          { return image.Empty() }
func (n impl) subscribe(name string, fn func(*image.Delta)) {}
func (n impl) start() error                                 { return nil }
func (n impl) close() error                                 { return nil }
func (n impl) failed() <-chan struct{}                      { return nil }
func (n impl) err() error                                   { return nil }
func (n impl) leader() (int32, bool)                        { return 0, false }
func (n impl) isController() bool                           { return false }
func (n impl) quorum() QuorumState                          { return QuorumState{} }
func (n impl) createTopics(context.Context, string, []controller.NewTopic, bool) []controller.CreatedTopic {
	return nil
}
func (n impl) deleteTopics(context.Context, []image.TopicID) []error { return nil }
func (n impl) createPartitions(context.Context, []controller.MorePartitions, bool) []error {
	return nil
}
func (n impl) alterConfigs(context.Context, []controller.ConfigChange, bool) []error { return nil }
func (n impl) allocateProducerIDs(context.Context) (int64, int, error)               { return 0, 0, nil }
func (n impl) registerBroker(context.Context, image.Broker) (int64, error)           { return 0, nil }
