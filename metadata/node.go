package metadata

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/metadata/raft"
)

// startTimeout bounds how long Start waits for an only voter to elect itself and apply its log.
const startTimeout = time.Minute

// Node is this process's member of the metadata quorum.
//
// Its goroutines are started by Start and joined by Close: the proposer, the publisher, those that tend brokers and rally the
// quorum where there are others, and those of the quorum. One that answers other nodes' questions runs from Open on.
type Node struct {
	cfg        Config
	settings   *config.Resolver
	controller *controller.Controller
	machine    *machine
	publisher  *publisher
	proposer   *proposer
	sessions   *sessions
	quorum     *raft.Quorum
	metrics    *metrics
	greeter    *greeter // nil for a node whose quorum has no other members

	started bool // owned by the caller of Start and Close
	gone    chan goneBroker
	tend    *wakeup         // of tendBrokers
	move    *wakeup         // of moveReplicas
	stop    chan struct{}   // closed by Close
	life    context.Context // ends with stop
	end     context.CancelFunc
	departs atomic.Bool   // see Depart
	joined  chan struct{} // closed when the proposer has ended
	running sync.WaitGroup
	once    sync.Once
	closed  error // of Close
}

// Open reads the directory and prepares the node. When Streams are given it answers other nodes from here on, and when the
// directory does not say which cluster it belongs to, it finds that out, however long ctx lets it.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m := newMachine()
	quorum, err := raft.Open(raft.Config{
		Directory: cfg.Directory, NodeID: cfg.NodeID, ClusterID: cfg.ClusterID, InMemory: cfg.InMemory, Logger: cfg.Logger,
		Bootstrap: func(clusterID string) []byte {
			return command.Encode([]command.Group{controller.Bootstrap(clusterID, cfg.Static["min.insync.replicas"])})
		},
		Streams: raftStreams(cfg), Address: cfg.Address, Limits: cfg.Limits,
		Expected: func(nodeID int32) bool { return m.newest.Load().Broker(nodeID) != nil },
	}, m)
	if err != nil {
		return nil, err
	}
	settings := config.NewResolver(cfg.NodeID, cfg.Static)
	n := &Node{
		cfg: cfg, settings: settings, controller: controller.New(settings), machine: m,
		gone: make(chan goneBroker, maxGoneBrokers), tend: newWakeup(), move: newWakeup(), publisher: newPublisher(m),
		sessions: newSessions(), quorum: quorum, stop: make(chan struct{}), joined: make(chan struct{}),
	}
	n.life, n.end = context.WithCancel(context.Background())
	if n.metrics, err = newMetrics(cfg.Registerer, n); err != nil {
		return nil, errors.Join(err, quorum.Close())
	}
	n.proposer = &proposer{quorum: quorum, machine: m, metrics: n.metrics, clock: cfg.Clock, queue: make(chan *proposal, maxGroupsPerEntry)}
	if cfg.Streams != nil {
		if err := n.findCluster(ctx); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	return n, nil
}

func raftStreams(cfg Config) raft.Streams {
	if cfg.Streams == nil {
		return nil
	}
	return cfg.Streams
}

// findCluster answers other nodes and asks them: which cluster there is or, when the directory knows one, whether it is theirs.
func (n *Node) findCluster(ctx context.Context) error {
	directoryID := n.quorum.Self().DirectoryID
	n.cfg.Streams.Introduce(n.quorum.ClusterID(), directoryID)
	n.greeter = newGreeter(n.quorum, n.cfg.Streams)
	n.running.Go(n.greeter.serve)
	j := &joiner{cfg: n.cfg, quorum: n.quorum, heard: n.greeter.heard}
	if n.quorum.HasLog() {
		return j.checkCluster(ctx)
	}
	founders, err := j.run(ctx)
	if err != nil {
		return err
	}
	n.cfg.Streams.Introduce(n.quorum.ClusterID(), directoryID)
	n.greeter.belongs(n.quorum.ClusterID(), founders)
	return nil
}

// ClusterID returns the id of the cluster, known as soon as the node is open.
func (n *Node) ClusterID() string { return n.quorum.ClusterID() }

// DirectoryID returns the id of the metadata directory: with the node id, it names the member of the quorum.
func (n *Node) DirectoryID() [16]byte { return n.quorum.Self().DirectoryID }

// Image returns the newest image. It never blocks.
func (n *Node) Image() *image.Image { return n.machine.newest.Load() }

// Subscribe registers a function that sees every change once and in order; all run on one goroutine, in the order they
// were registered. The first call delivers everything that there is. Register before Start. The function must not wait
// for a change of the metadata.
func (n *Node) Subscribe(name string, fn func(*image.Delta)) {
	n.publisher.subscribers = append(n.publisher.subscribers, subscriber{name: name, fn: fn})
}

// Start joins the quorum. An only voter leads, and its subscribers know the state that the last stop left behind, when
// Start returns.
func (n *Node) Start() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := n.quorum.Start(ctx); err != nil {
		return err
	}
	n.started = true
	if n.greeter != nil {
		n.greeter.started()
		n.running.Go(func() { n.rally(n.life) })
	}
	if !n.alone() {
		n.Subscribe("sessions", n.tend.tell)
		n.Subscribe("moves", n.move.tell)
		n.running.Go(n.tendBrokers)
		n.running.Go(n.moveReplicas)
	}
	n.running.Go(func() { n.publisher.run(n.stop) })
	n.running.Go(func() {
		defer close(n.joined)
		n.proposer.run(n.stop)
	})
	if err := n.publisher.await(ctx, n.Image().Index(), n.stop); err != nil {
		return fmt.Errorf("publish metadata: %w", err)
	}
	return nil
}

// Depart says that this node is about to stop: it does not ask to be admitted any more where it is forgotten meanwhile, as by
// a decommission that sees that it is fenced.
func (n *Node) Depart() { n.departs.Store(true) }

// HandOver gives the quorum's leadership, if this node has it, to another: it is about to stop. What comes meanwhile is
// NOT_CONTROLLER. It may be called while others use the node, and Close does it, too.
func (n *Node) HandOver() (handed bool) { return n.quorum.HandOver() }

// Close leaves the quorum and stops. Requests that wait are answered with a retriable error. It may be called again.
func (n *Node) Close() error {
	n.once.Do(func() {
		close(n.stop)
		n.end()
		if n.greeter != nil {
			n.greeter.close()
		}
		n.closed = n.quorum.Close() // before the proposer is joined: it may wait for an entry
		n.running.Wait()
		if !n.started {
			close(n.joined)
		}
		n.metrics.unregister()
	})
	return n.closed
}

// Failed is closed after the first error of the store: nothing is accepted any more and the process must stop. Err tells why.
func (n *Node) Failed() <-chan struct{} { return n.quorum.Failed() }

// Err returns the error that Failed announces.
func (n *Node) Err() error { return n.quorum.Err() }

// Full reports that the disk refuses what is to be added to the metadata log: what this node knows may be old.
func (n *Node) Full() bool { return n.quorum.Full() }

// Leader returns the id of the quorum's leader.
func (n *Node) Leader() (id int32, ok bool) {
	id = n.quorum.State().LeaderID
	return id, id >= 0
}

// WatchLeader is Leader with a channel that is closed when the leader changes, or when this node becomes the controller or
// is it no more.
func (n *Node) WatchLeader() (id int32, known bool, changed <-chan struct{}) {
	id, changed = n.quorum.Leader()
	return id, id >= 0, changed
}

// MemberAddress returns where a member of the quorum listens for other nodes.
func (n *Node) MemberAddress(id int32) (address string, ok bool) { return n.quorum.MemberAddress(id) }

// IsController reports whether this node leads the quorum.
func (n *Node) IsController() bool { return n.quorum.Leads() }
