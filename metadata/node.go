package metadata

import (
	"context"

	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
)

// Node is this process's member of the metadata quorum.
type Node struct{ impl }

// Open reads the directory and prepares the node; nothing runs before Start.
func Open(ctx context.Context, cfg Config) (*Node, error) { return open(ctx, cfg) }

// Image returns the newest image. It never blocks.
func (n *Node) Image() *image.Image { return n.image() }

// Subscribe registers a function that sees every change once and in order; all run on one goroutine, in the order they
// were registered. The first call delivers everything that there is. Register before Start.
func (n *Node) Subscribe(name string, fn func(*image.Delta)) { n.subscribe(name, fn) }

// Start joins the quorum and returns when this node has a leader and its subscribers know the state that the last stop left behind.
func (n *Node) Start() error { return n.start() }

// Close leaves the quorum and stops. Requests that wait are answered with a retriable error.
func (n *Node) Close() error { return n.close() }

// Failed is closed after the first error of the store: nothing is accepted any more and the process must stop. Err tells why.
func (n *Node) Failed() <-chan struct{} { return n.failed() }

// Err returns the error that Failed announces.
func (n *Node) Err() error { return n.err() }

// Leader returns the id of the quorum's leader.
func (n *Node) Leader() (id int32, ok bool) { return n.leader() }

// IsController reports whether this node leads the quorum.
func (n *Node) IsController() bool { return n.isController() }

// Quorum describes the quorum as DescribeQuorum shows it.
func (n *Node) Quorum() QuorumState { return n.quorum() }

// QuorumState is the state of the metadata quorum.
type QuorumState struct {
	LeaderID      int32 // -1: none
	LeaderEpoch   int32
	HighWatermark int64 // index of the last committed entry, plus one
	Voters        []QuorumMember
	Observers     []QuorumMember
}

// QuorumMember is one member's place in the metadata log.
type QuorumMember struct {
	NodeID                      int32
	LogEndOffset                int64
	LastFetchTimestampMillis    int64 // -1: unknown
	LastCaughtUpTimestampMillis int64 // -1: unknown
}

// CreateTopics creates each topic that can be, and says of each what became of it, in order.
func (n *Node) CreateTopics(ctx context.Context, tenant string, topics []controller.NewTopic, validateOnly bool) []controller.CreatedTopic {
	return n.createTopics(ctx, tenant, topics, validateOnly)
}

// DeleteTopics deletes topics; the errors are in the order of ids.
func (n *Node) DeleteTopics(ctx context.Context, ids []image.TopicID) []error {
	return n.deleteTopics(ctx, ids)
}

// CreatePartitions adds partitions to topics; the errors are in the order of the requests.
func (n *Node) CreatePartitions(ctx context.Context, requests []controller.MorePartitions, validateOnly bool) []error {
	return n.createPartitions(ctx, requests, validateOnly)
}

// AlterConfigs changes settings; the errors are in the order of changes.
func (n *Node) AlterConfigs(ctx context.Context, changes []controller.ConfigChange, validateOnly bool) []error {
	return n.alterConfigs(ctx, changes, validateOnly)
}

// AllocateProducerIDs hands out a block of producer ids that nobody else gets.
func (n *Node) AllocateProducerIDs(ctx context.Context) (first int64, count int, err error) {
	return n.allocateProducerIDs(ctx)
}

// RegisterBroker writes a broker's registration and returns its epoch. The epoch of the argument is not used.
func (n *Node) RegisterBroker(ctx context.Context, b image.Broker) (epoch int64, err error) {
	return n.registerBroker(ctx, b)
}
